"""LabelMe: one JSON file for each picture."""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import Picture, Reading, Shape, assemble
from maskrcnn.data.formats.bitmaps import decode_mask, expect_few_runs
from maskrcnn.data.formats.outlines import ellipse, flat, numbers, rectangle
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal
from maskrcnn.structures.rle import Rle, encode_window

LOOKED_FOR = "JSON files of LabelMe (with imagePath and shapes), one for each image"
NO_OBJECTS = ("__ignore__", "_background_")
"""Labels by which LabelMe's own tools mean that there is no object."""

Part = list[float] | Rle


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(finding.parts_with(path, lambda part: finding.json_files(part, "labelme")))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Polygons, rectangles, circles and masks; shapes with one label and group id are parts of one object.

    Pictures are where imagePath says, or beside the file, or in `images`.
    """
    readings = finding.read_splits(path, images, lambda part: finding.json_files(part, "labelme"), _read_split)
    return assemble(readings, path, images)


def _read_split(part: Path, images: Path | None) -> Reading:
    contents, problems = _contents(sorted(part.glob("*.json")) if part.is_dir() else [part])
    paths = {
        file: finding.picture_named(content["imagePath"], [images] if images else [file.parent])
        for file, content in contents.items()
    }
    sizes, size_problems = finding.sizes_of(paths.values())
    embedded = {paths[file] for file, content in contents.items() if content.get("imageData")}
    for problem in size_problems:
        if problem.kind == "missing-image" and Path(problem.file) in embedded:
            reason = f"{problem.reason}; the JSON holds a copy in imageData, which has to be saved as this file"
            problem = found(problem.kind, reason, problem.file)
        problems.append(problem)
    reading = Reading([], problems)
    for file, content in contents.items():
        if paths[file] not in sizes:
            continue
        size = sizes[paths[file]]
        says = content.get("imageHeight") or size[0], content.get("imageWidth") or size[1]
        wrong = finding.size_problem(paths[file], size, says, f"{file.name} says")
        if wrong:
            problems.append(wrong)
        else:
            reading.pictures.append(Picture(paths[file], size, _read_shapes(content["shapes"], file, size, problems)))
    return reading


def _contents(files: Sequence[Path]) -> tuple[dict[Path, dict[str, Any]], list[Problem]]:
    contents, problems = {}, []
    for file in files:
        try:
            content = finding.load_json(file)
            if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
                raise ValueError("expected imagePath and shapes, as the other files here have")
            if not isinstance(content.get("imagePath"), str):
                raise ValueError(f"expected the name of an image as imagePath, got {content.get('imagePath')!r:.40}")
            contents[file] = content
        except ValueError as error:
            problems.append(found("unreadable-annotations", str(error).removeprefix(f"{file} is "), file))
    return contents, problems


def _read_shapes(shapes: list[Any], file: Path, size: tuple[int, int], problems: list[Problem]) -> list[Shape]:
    objects: dict[object, tuple[str, list[Part], list[str]]] = {}  # label, parts, names of the shapes
    for number, shape in enumerate(shapes):
        name = f"shape {number}"
        try:
            label, part = _label(shape), _part(shape, size)
        except ValueError as error:
            problems.append(refusal(error, file, name))
            continue
        group = shape.get("group_id")
        _, parts, names = objects.setdefault((label, str(group)) if group is not None else number, (label, [], []))
        parts.append(part)
        names.append(name)
    return [Shape(label, _joined(parts, size), file, ", ".join(names)) for label, parts, names in objects.values()]


def _label(shape: Any) -> str:
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.strip():
        raise AnnotationError("no-class", f"expected a label, got {label!r:.40}")
    if label in NO_OBJECTS:
        raise AnnotationError("ignored-region", f"labelled {label}")
    return label.strip()


def _part(shape: dict[str, Any], size: tuple[int, int]) -> Part:
    kind = shape.get("shape_type") or "polygon"
    points = flat(shape.get("points"))
    if kind in ("polygon", "oriented_rectangle") or (kind == "rectangle" and len(points) == 8):
        if len(points) < 6:
            raise AnnotationError("two-point-polygon", f"expected three points or more, got {len(points) // 2}")
        return points
    if kind == "rectangle":
        return rectangle(*numbers(points, 4))
    if kind == "circle":
        cx, cy, x, y = numbers(points, 4)
        radius = math.dist((cx, cy), (x, y))
        return ellipse(cx, cy, radius, radius)
    if kind == "mask":
        return _bitmap(shape.get("mask"), numbers(points, 4), size)
    if kind in ("point", "points", "line", "linestrip"):
        raise AnnotationError("open-shape", f"a {kind}")
    raise AnnotationError("unknown-shape", f"expected polygon, rectangle, circle or mask, got {kind!r:.40}")


def _bitmap(data: Any, corners: list[float], size: tuple[int, int]) -> Rle:
    """A mask shape: a PNG of the pixels from the first corner to the second, which is included."""
    try:
        image = decode_mask(io.BytesIO(base64.b64decode(data)), "mask")
        pixels = np.asarray(image.convert("L"))
    except (ValueError, TypeError, binascii.Error) as error:
        raise ValueError(f"expected a PNG in base64 as the mask ({error})") from None
    x0, y0, x1, y1 = (round(corner) for corner in corners)
    h, w = pixels.shape
    if abs(x1 - x0 + 1 - w) > 1 or abs(y1 - y0 + 1 - h) > 1:  # 1: fractions are rounded
        raise ValueError(f"the mask is {h} x {w} (height x width), its corners make {y1 - y0 + 1} x {x1 - x0 + 1}")
    left, top = max(0, x0), max(0, y0)
    inside = pixels[top - y0 : max(0, size[0] - y0), left - x0 : max(0, size[1] - x0)]
    if not inside.size:
        raise AnnotationError("mask-outside-image", f"the mask begins at x {x0}, y {y0}, outside {size[0]} x {size[1]}")
    expect_few_runs(inside)
    return encode_window(inside > 0, left, top, size)


def _joined(parts: list[Part], size: tuple[int, int]) -> list[list[float]] | Rle:
    """One segmentation of all parts: polygons, or an RLE if one of the parts is."""
    polygons = [part for part in parts if isinstance(part, list)]
    if len(polygons) == len(parts):
        return polygons
    rles: list[Any] = [part for part in parts if isinstance(part, dict)]
    rles += pycocotools.mask.frPyObjects(polygons, *size) if polygons else []  # pyright: ignore
    merged: Any = pycocotools.mask.merge(rles)
    return {"size": list(size), "counts": merged["counts"].decode("ascii")}
