"""Pictures and their objects, read from any format, become COCO dictionaries."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pycocotools.mask

from maskrcnn.data.checks.mask_reading import read_mask
from maskrcnn.data.problems import Problem, found

ONE_CLASS = "object"
"""What the class of data without class names is called."""
DECIMALS = 3
"""Of polygon coordinates: a thousandth of a pixel."""


@dataclass(frozen=True)
class Annotations:
    """One split of a data set."""

    coco: dict[str, Any]
    """Lists images, annotations and categories; every annotation can be used unless the data was COCO already."""
    image_folder: Path
    """What the file names in `coco` are relative to."""
    problems: list[Problem]
    """What was left out (error), doubtful (warning) or put right (fixed) while reading."""


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
    """COCO dictionaries of all splits, with the same categories, 1, 2, ... in the order of `class_names`.

    Without `class_names` they are the names that occur, sorted. Pictures are sorted by file name and numbered from 1,
    and so are annotations, so that the same data always gives the same dictionary. File names are relative to `images`,
    or else to the folder that all pictures have in common. Areas and boxes are those of the masks. A shape without a
    usable mask is left out and named.

    Raises:
        ValueError: no picture could be used; says why for the first few.
    """
    paths = [Path(os.path.abspath(picture.path)) for reading in readings.values() for picture in reading.pictures]
    if not paths:
        problems = [problem for reading in readings.values() for problem in reading.problems]
        why = "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:3])
        raise ValueError(f"{source}: no picture can be used" + (f" ({why})" if why else ""))
    if class_names is None:
        pictures = [picture for reading in readings.values() for picture in reading.pictures]
        class_names = sorted({shape.class_name for picture in pictures for shape in picture.shapes}) or [ONE_CLASS]
    folder = _common_folder(paths, images)
    return {split: _assemble_split(reading, folder, class_names) for split, reading in readings.items()}


def _common_folder(paths: Sequence[Path], images: Path | None) -> Path:
    if images is not None:
        folder = Path(os.path.abspath(images))
        if all(path.is_relative_to(folder) for path in paths):
            return folder
    return Path(os.path.commonpath([path.parent for path in paths]))


def _assemble_split(reading: Reading, folder: Path, class_names: Sequence[str]) -> Annotations:
    problems = list(reading.problems)
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    category_ids = {name: number for number, name in enumerate(class_names, start=1)}
    for file_name, pictures in sorted(_by_file_name(reading.pictures, folder).items()):
        height, width = pictures[0].size
        records.append({"id": len(records) + 1, "file_name": file_name, "height": height, "width": width})
        if len(pictures) > 1:
            problems.append(found("merged-records", f"{len(pictures)} records of one picture", pictures[0].path))
        for shape in (shape for picture in pictures for shape in picture.shapes):
            masked = _with_mask(shape, (height, width), problems)
            if masked is not None:
                ids = {"id": len(annotations) + 1, "image_id": len(records)}
                annotations.append({**ids, "category_id": category_ids[shape.class_name], "iscrowd": 0, **masked})
    categories = [{"id": number, "name": name} for name, number in category_ids.items()]
    return Annotations({"images": records, "annotations": annotations, "categories": categories}, folder, problems)


def _by_file_name(pictures: Sequence[Picture], folder: Path) -> dict[str, list[Picture]]:
    named: dict[str, list[Picture]] = {}
    for picture in pictures:
        file_name = Path(os.path.abspath(picture.path)).relative_to(folder).as_posix()
        named.setdefault(file_name, []).append(picture)
    return named


def _with_mask(shape: Shape, size: tuple[int, int], problems: list[Problem]) -> dict[str, Any] | None:
    """Segmentation, area and box, or None where there is no mask; what is wrong goes to `problems`.

    What is only doubtful about a mask stays in the data, where the checks find it.
    """
    segmentation = shape.segmentation
    if isinstance(segmentation, list):
        segmentation = [[round(float(v), DECIMALS) for v in part] for part in segmentation]
    rle, findings = read_mask(segmentation, size)
    area = int(pycocotools.mask.area(rle)) if rle is not None else 0  # pyright: ignore[reportArgumentType]
    if rle is not None and not area:
        findings = [("empty-mask", f"it covers no pixel of the image of {size[0]} x {size[1]} (height x width)")]
    for kind, reason in findings:
        problem = found(kind, reason, shape.file, shape.name)
        if problem.severity != "warning":
            problems.append(problem)
    if not area:
        return None
    box = [float(side) for side in pycocotools.mask.toBbox(rle)]  # pyright: ignore[reportArgumentType]
    return {"segmentation": segmentation, "area": area, "bbox": box}
