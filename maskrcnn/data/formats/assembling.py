"""Pictures and their objects, read from any format, become tables of annotations."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.problems import Problem, found

ONE_CLASS = "object"
"""What the class of data without class names is called."""
DECIMALS = 3
"""Of polygon coordinates: a thousandth of a pixel."""


@dataclass(frozen=True)
class Shape:
    """One object as its format has it."""

    class_name: str
    segmentation: Any
    """COCO polygons [[x, y, x, y, ...], ...] in pixels, or an RLE."""
    file: Path
    """Where it is annotated ..."""
    name: str = ""
    """... and which of that file's annotations it is."""


@dataclass(frozen=True)
class Picture:
    """An image file and its objects."""

    path: Path
    size: tuple[int, int]
    """(height, width), upright."""
    shapes: list[Shape]


@dataclass(frozen=True)
class Reading:
    """What a format's module read of one split."""

    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def assemble(
    readings: Mapping[str, Reading], source: Path, images: Path | None, class_names: Sequence[str] | None = None
) -> dict[str, Annotations]:
    """The annotations of all splits, with the same categories, 1, 2, ... in the order of `class_names`.

    Without `class_names` they are the names that occur, sorted. Pictures are sorted by file name and numbered from 1,
    and so are annotations, so that the same data always gives the same table. File names are relative to `images`,
    or else to the folder that all pictures have in common. Areas and boxes are those of the masks. A shape without a
    usable mask is left out and named.

    Raises:
        ValueError: no picture could be used; says why for the first few.
    """
    paths = [Path(os.path.abspath(picture.path)) for reading in readings.values() for picture in reading.pictures]
    if not paths:
        problems = [problem for reading in readings.values() for problem in reading.problems]
        why = "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:3])
        raise ValueError(f"{source}: no image can be used" + (f" ({why})" if why else ""))
    if class_names is None:
        pictures = [picture for reading in readings.values() for picture in reading.pictures]
        class_names = sorted({shape.class_name for picture in pictures for shape in picture.shapes}) or [ONE_CLASS]
    folder = common_folder(paths, images)
    called = {split: f"{source} ({split})" if len(readings) > 1 else str(source) for split in readings}
    return {split: _assemble_split(reading, folder, class_names, called[split]) for split, reading in readings.items()}


def common_folder(paths: Sequence[Path], images: Path | None) -> Path:
    """What the names of pictures (absolute paths) are relative to: `images`, or else the folder that all share."""
    if images is not None:
        folder = Path(os.path.abspath(images))
        if all(path.is_relative_to(folder) for path in paths):
            return folder
    return Path(os.path.commonpath([path.parent for path in paths]))


def _assemble_split(reading: Reading, folder: Path, class_names: Sequence[str], source: str) -> Annotations:
    problems = list(reading.problems)
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    places: list[tuple[str, str]] = []
    category_ids = {name: number for number, name in enumerate(class_names, start=1)}
    for file_name, pictures in sorted(_by_file_name(reading.pictures, folder).items()):
        height, width = pictures[0].size
        records.append({"id": len(records) + 1, "file_name": file_name, "height": height, "width": width})
        if len(pictures) > 1:
            problems.append(found("merged-records", f"{len(pictures)} records of one image", pictures[0].path))
        for shape in (shape for picture in pictures for shape in picture.shapes):
            ids = {"id": len(annotations) + 1, "image_id": len(records), "category_id": category_ids[shape.class_name]}
            annotations.append({**ids, "iscrowd": 0, "segmentation": _rounded(shape.segmentation)})
            places.append((str(shape.file), shape.name))
    categories = [{"id": number, "name": name} for name, number in category_ids.items()]
    coco = {"images": records, "annotations": annotations, "categories": categories}
    table = annotations_from_coco(coco, folder, source, places=places)
    return _numbered(replace(table, problems=(*problems, *table.problems)).usable())


def _rounded(segmentation: Any) -> Any:
    if not isinstance(segmentation, list):
        return segmentation
    return [[round(float(value), DECIMALS) for value in part] for part in segmentation]


def _numbered(table: Annotations) -> Annotations:
    """With ids 1, 2, ... after some annotations were left out."""
    records = [record | {"id": number} for number, record in enumerate(table.coco["annotations"], start=1)]
    return replace(
        table,
        annotation_ids=np.arange(1, len(records) + 1),
        coco={**table.coco, "annotations": records},
    )


def _by_file_name(pictures: Sequence[Picture], folder: Path) -> dict[str, list[Picture]]:
    named: dict[str, list[Picture]] = {}
    for picture in pictures:
        file_name = Path(os.path.abspath(picture.path)).relative_to(folder).as_posix()
        named.setdefault(file_name, []).append(picture)
    return named
