"""Where the files of a data set are: splits as folders, pictures by the names that annotation tools wrote."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from maskrcnn.data.formats.assembling import Reading
from maskrcnn.data.image_facts import look_at_images
from maskrcnn.data.pictures.finding import IMAGE_EXTENSIONS, find_images
from maskrcnn.data.problems import Problem, found
from maskrcnn.untrusted.machine_memory import memory_bytes

SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
WHOLE = "all"
"""Name of the only split of data that is not divided."""
MAX_JSON_FILES = 20
"""By so many files, the first by name, the format of a folder's JSON is told: one annotated picture each, there may be
thousands of large ones."""
NUM_NAMED = 3
JSON_FACTOR = 8
"""The values of a JSON file take so many times its size in memory: 1 GB of LVIS takes 7."""
_RESULTS = {"annotations", "predictions"}  # of a task of Label Studio


def split_folders(root: Path) -> dict[str, Path]:
    """Folders named train, val(id) or test in `root`, by split; {"all": root} where there is none."""
    folders = {
        SPLIT_NAMES[folder.name.lower()]: folder
        for folder in entries(root)
        if folder.name.lower() in SPLIT_NAMES and folder.is_dir()
    }
    return {split: folders[split] for split in ("train", "val", "test") if split in folders} or {WHOLE: root}


def parts_with(root: Path, holds: Any) -> dict[str, Path]:
    """{"all": root} if `holds(root)`, else those split folders for which it is so."""
    if holds(root):
        return {WHOLE: root}
    return {split: folder for split, folder in split_folders(root).items() if holds(folder)}


def folder_of_split(images: Path | None, part: Path, split: str) -> Path | None:
    """Where the pictures of one split are, given the user's folder: in its own folder there if there is one."""
    if images is None or split == WHOLE:
        return images
    return images / part.name if (images / part.name).is_dir() else images


def subfolder(root: Path, names: Iterable[str]) -> Path | None:
    """The first of `names` that is a folder in `root`, whatever its case."""
    folders = {folder.name.lower(): folder for folder in entries(root) if folder.is_dir()}
    return next((folders[name.lower()] for name in names if name.lower() in folders), None)


def json_files(path: Path, kind: str, endings: tuple[str, ...] = (".json",)) -> list[Path]:
    """The JSON files of one kind (coco, panoptic, via, labelme, label-studio or geojson, by content) that `path` is or
    directly holds."""
    files = sorted(file for ending in endings for file in path.glob(f"*{ending}")) if path.is_dir() else [path]
    files = [file for file in files[:MAX_JSON_FILES] if file.suffix.lower() in endings and file.is_file()]
    return [file for file in files if _json_kind(file, file.stat().st_mtime_ns) == kind]


def load_json(file: Path) -> Any:
    """Raises ValueError for what is not JSON, or too large."""
    size, limit = file.stat().st_size, memory_bytes() / JSON_FACTOR
    if size > limit:
        raise ValueError(f"{file} has {size:,} bytes; as JSON it takes {JSON_FACTOR} times that, more than the memory")
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from None


@lru_cache(maxsize=256)
def _json_kind(file: Path, _modified: int) -> str:
    try:
        content = load_json(file)
    except (OSError, ValueError):
        return ""
    if isinstance(content, list) and content and all(map(_is_task, content)):
        return "label-studio"
    if isinstance(content, list) and content and all(map(_is_feature, content)):  # QuPath has the choice
        return "geojson"
    if not isinstance(content, dict):
        return ""
    if content.get("type") == "FeatureCollection" and isinstance(content.get("features"), list):
        return "geojson"
    if all(isinstance(content.get(key), dict) for key in ("project", "attribute", "file", "metadata", "view")):
        return "via"  # version 3
    if all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories")):
        first = next(iter(content["annotations"]), None)
        return "panoptic" if isinstance(first, dict) and "segments_info" in first else "coco"
    if "imagePath" in content and isinstance(content.get("shapes"), list):
        return "labelme"
    pictures = content.get("_via_img_metadata", content)
    is_via = isinstance(pictures, dict) and all(
        isinstance(picture, dict)
        and isinstance(picture.get("filename"), str)
        and isinstance(picture.get("regions"), dict | list)
        for picture in pictures.values()
    )
    return "via" if is_via and (pictures or "_via_img_metadata" in content) else ""


def _is_task(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("data"), dict)
        and bool({"annotations", "predictions"} & {*value})
    )


def _is_feature(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "Feature" and "geometry" in value


def picture_named(name: str, folders: Iterable[Path]) -> Path:
    """The file that an annotation tool calls `name`, perhaps with another machine's path: in the first of `folders`
    that has it, by path or else by its last part. If none has, where it was expected."""
    relative = PurePosixPath(name.replace("\\", "/"))
    folders = list(folders)
    places = [folder / part for folder in folders for part in (relative, relative.name)]
    return next(
        (Path(os.path.normpath(place)) for place in places if os.path.isfile(place)), folders[0] / relative.name
    )


def sizes_of(
    paths: Iterable[Path], *, is_orientation_told: bool = True
) -> tuple[dict[Path, tuple[int, int]], list[Problem]]:
    """(height, width), upright, of each file that can be read, and what is wrong with the others.

    A format that says nothing of the size (`is_orientation_told` false) leaves open whether its coordinates are those
    of the upright picture; they are taken so, and the picture is named.
    """
    sizes: dict[Path, tuple[int, int]] = {}
    problems = []
    for path, facts in look_at_images(paths, pixels=False).items():
        if facts.size is None:
            kind = "missing-image" if facts.is_missing else "unreadable-image"
            problems.append(found(kind, facts.error or "there is no such file", path))
            continue
        sizes[path] = facts.size
        if facts.orientation in (5, 6, 7, 8) and not is_orientation_told:
            reason = f"EXIF orientation {facts.orientation}; annotations are taken as made on the upright image"
            problems.append(found("ambiguous-orientation", reason, path))
    return sizes, problems


def size_problem(path: Path, size: tuple[int, int], expected: tuple[int, int], source: str) -> Problem | None:
    """What is wrong if a picture's size is not the one that its annotation says; None if it is."""
    if size == expected:
        return None
    kind = "swapped-size" if size == expected[::-1] else "wrong-size"
    says = f"{source} {expected[0]} x {expected[1]}"
    return found(kind, f"the image is {size[0]} x {size[1]} (height x width), {says}; left out", path)


def read_splits(
    path: Path, images: Path | None, holds: Any, read_split: Callable[[Path, Path | None], Reading]
) -> dict[str, Reading]:
    """What `read_split` makes of each part of `path` that `holds` something, with the folder of its pictures (None: not
    given); images beside them that nobody annotated are told."""
    readings = {
        split: read_split(part, folder_of_split(images, part, split)) for split, part in parts_with(path, holds).items()
    }
    next(iter(readings.values())).problems.extend(unannotated(readings))
    return readings


def unannotated(readings: Mapping[str, Reading]) -> list[Problem]:
    """A warning for each folder of annotated pictures that has others, which no annotation names."""
    used = {Path(os.path.abspath(picture.path)) for reading in readings.values() for picture in reading.pictures}
    named = used | {Path(os.path.abspath(p.file)) for reading in readings.values() for p in reading.problems}
    problems = []
    for folder in sorted({path.parent for path in used}):
        others = [path.name for path in entries(folder) if is_image(path) and path not in named]
        if others:
            problems.append(found("unannotated-images", f"{count_and_names(others)} without annotation", folder))
    return problems


def by_stem(folder: Path) -> dict[str, Path]:
    """Pictures below a folder by their path in it, without extension."""
    try:
        files = find_images(folder)
    except (ValueError, FileNotFoundError):  # none
        return {}
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def masks_by_stem(folder: Path, endings: Sequence[str]) -> dict[str, list[Path]]:
    """Masks by the stem of the picture they can belong to: their own, or that without one of `endings`."""
    result: dict[str, list[Path]] = {}
    for stem, file in by_stem(folder).items():
        ending = next((ending for ending in endings if stem.endswith(ending)), "")
        for possible in {stem, stem.removesuffix(ending)}:
            result.setdefault(possible, []).append(file)
    return result


def is_image(path: Path) -> bool:
    """Whether a file is called like a picture."""
    return path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".") and path.is_file()


def count_and_names(names: list[str]) -> str:
    """Such as "5 pictures (a.png, b.png, c.png and 2 more)"."""
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return f"{len(names)} image{'s' * (len(names) != 1)} ({', '.join(names[:NUM_NAMED])}{more})"


def entries(folder: Path) -> list[Path]:
    """What is directly in a folder, sorted; nothing if there is no such folder."""
    return sorted(folder.iterdir()) if folder.is_dir() else []
