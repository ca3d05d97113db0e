"""COCO instance files: one, or one for each split (A annotations)."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.coco_records import read_images
from maskrcnn.data.formats.finding import (
    SPLIT_NAMES,
    WHOLE,
    folder_of_split,
    json_files,
    load_json,
    parts_with,
    subfolder,
)

LOOKED_FOR = "a JSON file with images, annotations and categories"
_SPLIT_IN_NAME = re.compile(r"(?<![a-z])(train|valid|val|test)(?![a-z])")
NUM_TRIED = 200
"""Pictures by which their folder is told."""


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """What the files hold; annotations that cannot be used are in it, and are named.

    Splits are told by folders or file names. Without `images` the pictures are looked for beside the annotations.

    Raises:
        ValueError: two files for one split.
        FileNotFoundError: the pictures are nowhere near.
    """
    result = {}
    for part_split, part in parts_with(path, _files_in).items():
        for split, file in splits_of(_files_in(part), part_split, is_folder=part.is_dir()).items():
            coco = load_json(file)
            given = folder_of_split(images, part, part_split)
            folder = given or image_folder(file.absolute(), coco, split)
            result[split] = replace(annotations_from_coco(coco, folder, str(file), progress=True), file=file)
    return result


def _files_in(path: Path) -> list[Path]:
    files = json_files(path, "coco")
    folder = subfolder(path, ["annotations"]) if not files else None
    return json_files(folder, "coco") if folder else files


def splits_of(files: list[Path], part_split: str, *, is_folder: bool) -> dict[str, Path]:
    """The file of each split, told by their names in a folder of several."""
    if part_split != WHOLE or not is_folder:  # one file, or the one file of a split's folder
        if len(files) > 1:
            raise ValueError(f"{files[0].parent} holds {_names(files)}: expected one COCO file for {part_split}")
        return {part_split: files[0]}
    # COCO's own folder holds person_keypoints_*.json of the same pictures.
    files = [file for file in files if file.name.startswith(("instances", "panoptic"))] or files
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


def image_folder(file: Path, coco: dict[str, Any], split: str) -> Path:
    """Where the most of a sample of the pictures are, of the folders near the annotations."""
    images, _, _ = read_images(coco["images"], None, str(file))
    names = [record["file_name"].replace("\\", "/") for record in images]
    sample = names[:: max(1, len(names) // NUM_TRIED)]
    near = list(dict.fromkeys(_near(file.parent, split)))
    found = {folder: sum(os.path.isfile(folder / name) for name in sample) for folder in near}
    best = max(near, key=lambda folder: found[folder])
    if sample and not found[best]:
        looked = ", ".join(str(folder) for folder in near[:5])
        raise FileNotFoundError(f"{file}: the images, such as {sample[0]}, are not in {looked}; name their folder")
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
