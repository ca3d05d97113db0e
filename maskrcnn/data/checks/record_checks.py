"""Image and category records: what identifies pictures and classes (I images, K classes)."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.problems import Problem, found

MAX_SIDE = 2**30  # more than any image has
LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True, eq=False)
class Records:
    """The usable image and category records of one split; of those with one id, the first."""

    annotation_file: str
    """What messages call the annotations."""
    image_dir: Path
    file_names: tuple[str, ...]
    sizes: np.ndarray
    """(I, 2) int64, height and width as the annotations have them; 0, 0 where they have none."""
    image_index: dict[int, int]
    """From the id of an image to its place above."""
    class_names: tuple[str, ...]
    """In the order of the category ids."""
    class_index: dict[int, int]
    """From a category id to its place above."""

    def path(self, image: int) -> Path:
        return self.image_dir / self.file_names[image]


def check_records(coco: Any, image_dir: Path, annotation_file: str) -> tuple[Records, list[Problem]]:
    """What can be used of `images` and `categories`, and what is wrong with them."""
    problems = []
    lists = {}
    for key in LISTS:
        value = coco.get(key) if isinstance(coco, dict) else None
        lists[key] = value if isinstance(value, list) else []
        if not isinstance(value, list):
            problems.append(found("not-coco", f"expected a list {key!r}, got {_brief(value)}", annotation_file))
    file_names, sizes, image_index, image_problems = _check_images(lists["images"], annotation_file)
    names, category_problems = _check_categories(lists["categories"], annotation_file)
    if not problems:
        problems = image_problems + category_problems
    category_ids = sorted(names)
    records = Records(
        annotation_file=annotation_file,
        image_dir=image_dir,
        file_names=tuple(file_names),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        image_index=image_index,
        class_names=tuple(names[category_id] for category_id in category_ids),
        class_index={category_id: index for index, category_id in enumerate(category_ids)},
    )
    return records, problems


def _check_images(
    images: list[Any], annotation_file: str
) -> tuple[list[str], list[tuple[int, int]], dict[int, int], list[Problem]]:
    problems: list[Problem] = []
    file_names: list[str] = []
    sizes: list[tuple[int, int]] = []
    image_index: dict[int, int] = {}
    if not images:
        problems.append(found("bad-image-record", "there is no image", annotation_file))
    for image in images:
        name = image.get("file_name") if isinstance(image, dict) else None
        image_id = image.get("id") if isinstance(image, dict) else None
        if not isinstance(image_id, int) or not isinstance(name, str):
            reason = f"expected an image with an integer id and a file_name, got {_brief(image)}"
            problems.append(found("bad-image-record", reason, annotation_file))
            continue
        if image_id in image_index:
            reason = f"image id {image_id} belongs to {file_names[image_index[image_id]]} and {name}"
            problems.append(found("duplicate-image-id", reason, annotation_file))
            continue
        size = image.get("height"), image.get("width")
        if not all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in size):
            reason = f"{name}: expected height and width in pixels, got {_brief(size[0])} and {_brief(size[1])}"
            problems.append(found("bad-image-size", reason, annotation_file))
            size = 0, 0
        image_index[image_id] = len(file_names)
        file_names.append(name)
        sizes.append(size)  # pyright: ignore[reportArgumentType]
    for name, times in Counter(file_names).items():
        if times > 1:
            reason = f"{times} image records name {name}; expected one, with all objects of the picture"
            problems.append(found("duplicate-file-name", reason, annotation_file))
    return file_names, sizes, image_index, problems


def _check_categories(categories: list[Any], annotation_file: str) -> tuple[dict[int, str], list[Problem]]:
    problems: list[Problem] = []
    names: dict[int, str] = {}
    if not categories:
        problems.append(found("bad-category", "there is no category", annotation_file))
    for category in categories:
        name = category.get("name") if isinstance(category, dict) else None
        category_id = category.get("id") if isinstance(category, dict) else None
        if not isinstance(category_id, int) or not isinstance(name, str):
            reason = f"expected a category with an integer id and a name, got {_brief(category)}"
            problems.append(found("bad-category", reason, annotation_file))
        elif category_id in names:
            reason = f"category id {category_id} belongs to {names[category_id]!r} and {name!r}"
            problems.append(found("duplicate-category-id", reason, annotation_file))
        else:
            names[category_id] = name
    for name, times in Counter(names.values()).items():
        if times > 1:
            ids = ", ".join(str(category_id) for category_id in sorted(names) if names[category_id] == name)
            reason = f"{times} categories are named {name!r}: ids {ids}"
            problems.append(found("duplicate-category-name", reason, annotation_file))
    return names, problems


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
