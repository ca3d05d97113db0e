"""COCO instance files: one, or one for each split (A annotations)."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskrcnn.data.checks.annotation_checks import read_annotations
from maskrcnn.data.checks.record_checks import check_records
from maskrcnn.data.formats.assembling import Annotations
from maskrcnn.data.formats.finding import (
    SPLIT_NAMES,
    WHOLE,
    folder_of_split,
    json_files,
    load_json,
    parts_with,
    subfolder,
)
from maskrcnn.data.problems import found

LOOKED_FOR = "a JSON file with images, annotations and categories"
_SPLIT_IN_NAME = re.compile(r"(?<![a-z])(train|valid|val|test)(?![a-z])")
NUM_TRIED = 200
"""Pictures by which their folder is told."""


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """What the files hold, as it is; `maskrcnn.data.checks` says what is wrong with it, and `usable` leaves it out.

    Splits are told by folders or file names. Without `images` the pictures are looked for beside the annotations.

    Raises:
        ValueError: two files for one split.
        FileNotFoundError: the pictures are nowhere near.
    """
    result = {}
    for part_split, part in parts_with(path.absolute(), _files_in).items():
        for split, file in _by_split(_files_in(part), part_split, is_folder=part.is_dir()).items():
            coco = load_json(file)
            given = folder_of_split(images, part, part_split)
            result[split] = Annotations(coco, given or _image_folder(file, coco, split), [])
    return result


def usable(annotations: Annotations, file: str) -> Annotations:
    """The annotations without those that cannot be used, and without pictures that are not there, each named.

    `file` is what messages call the annotations.
    """
    coco, folder = annotations.coco, annotations.image_folder
    records, problems = check_records(coco, folder, file)
    table, annotation_problems = read_annotations(coco["annotations"], records)
    problems = [problem for problem in [*problems, *annotation_problems] if problem.severity == "error"]
    kept_images: list[dict[str, Any]] = []
    ids: set[int] = set()
    for record in coco["images"]:
        image_id = record.get("id") if isinstance(record, dict) else None
        place = records.image_index.get(image_id) if isinstance(image_id, int) else None
        if image_id is None or place is None or image_id in ids or not records.sizes[place].all():
            continue
        if record["file_name"] != records.file_names[place]:  # a second one with the same id
            continue
        if not records.path(place).is_file():
            problems.append(found("missing-image", "there is no such file", records.path(place)))
            continue
        ids.add(image_id)
        kept_images.append(record)
    seen: set[int] = set()
    kept: list[dict[str, Any]] = []
    for annotation, is_usable in zip(coco["annotations"], table.is_usable.tolist(), strict=True):
        if is_usable and isinstance(annotation.get("id"), int) and annotation["id"] not in seen:
            seen.add(annotation["id"])
            if annotation["image_id"] in ids:
                kept.append(annotation)
    coco = {**coco, "images": kept_images, "annotations": kept}
    return replace(annotations, coco=coco, problems=[*annotations.problems, *problems])


def _files_in(path: Path) -> list[Path]:
    files = json_files(path, "coco")
    folder = subfolder(path, ["annotations"]) if not files else None
    return json_files(folder, "coco") if folder else files


def _by_split(files: list[Path], part_split: str, *, is_folder: bool) -> dict[str, Path]:
    if part_split != WHOLE or not is_folder:  # one file, or the one file of a split's folder
        if len(files) > 1:
            raise ValueError(f"{files[0].parent} holds {_names(files)}: expected one COCO file for {part_split}")
        return {part_split: files[0]}
    # COCO's own folder holds person_keypoints_*.json of the same pictures.
    files = [file for file in files if file.name.startswith("instances")] or files
    splits: dict[str, Path] = {}
    for file in files:
        found = set(_SPLIT_IN_NAME.findall(re.sub(r"[^a-z]+", " ", file.stem.lower())))
        split = SPLIT_NAMES[found.pop()] if len(found) == 1 else WHOLE
        if split in splits or (split == WHOLE and len(files) > 1):
            raise ValueError(
                f"{file.parent} holds {_names(files)}: which is which split is not clear; name one of them"
            )
        splits[split] = file
    return splits


def _image_folder(file: Path, coco: dict[str, Any], split: str) -> Path:
    """Where the most of a sample of the pictures are, of the folders near the annotations."""
    names = [record["file_name"] for record in coco["images"] if isinstance(record, dict) and "file_name" in record]
    sample = names[:: max(1, len(names) // NUM_TRIED)]
    near = list(dict.fromkeys(_near(file.parent, split)))
    found = {folder: sum((folder / name).is_file() for name in sample) for folder in near}
    best = max(near, key=lambda folder: found[folder])
    if sample and not found[best]:
        looked = ", ".join(str(folder) for folder in near[:5])
        raise FileNotFoundError(f"{file}: the pictures, such as {sample[0]}, are not in {looked}; name their folder")
    return best


def _near(folder: Path, split: str) -> Iterable[Path]:
    """Folders where pictures may be, the likeliest first."""
    parents = [folder, folder.parent]
    inside = [child for parent in parents for child in sorted(parent.iterdir()) if child.is_dir()]
    inside += [child for images in inside if images.name == "images" for child in sorted(images.iterdir())]
    inside = [child for child in inside if child.is_dir() and child.name.lower() != "annotations"]
    yield folder
    yield from (child for child in inside if split != WHOLE and split in child.name.lower())
    yield from (child for child in inside if child.name.lower() == "images")
    yield folder.parent
    yield from inside


def _names(files: list[Path]) -> str:
    return ", ".join(os.fspath(file.name) for file in files)
