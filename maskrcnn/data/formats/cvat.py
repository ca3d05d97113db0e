"""CVAT for images 1.1: one XML file of images with polygons, masks, boxes and ellipses."""

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import Picture, Reading, Shape, assemble
from maskrcnn.data.formats.outlines import ellipse, numbers, rectangle, turned
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal
from maskrcnn.structures.rle import Rle, encode_window
from maskrcnn.untrusted.excerpt import excerpt
from maskrcnn.untrusted.plain_xml import plain_xml

LOOKED_FOR = "an XML file of CVAT for images (<annotations> with <image>)"
SHAPES = ("polygon", "mask", "box", "ellipse", "polyline", "points", "cuboid", "skeleton")
_ROOT = re.compile(rb"<annotations[\s>]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE]-?\d+)?")
START_BYTES = 2000


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(finding.parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Polygons, masks, boxes and ellipses; each is an object. Pictures are beside the file, in images/, or in `images`.

    Raises:
        ValueError: annotations of a video, or nothing that can be used.
    """
    return assemble(finding.read_splits(path, images, _files_in, _read_split), path, images)


def _read_split(part: Path, images: Path | None) -> Reading:
    reading = Reading()
    for file in _files_in(part):
        _read_file(file, [images] if images else [file.parent, file.parent / "images"], reading)
    return reading


def _files_in(path: Path) -> list[Path]:
    files = sorted(path.glob("*.xml"))[: finding.MAX_JSON_FILES] if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() == ".xml" and file.is_file() and _is_cvat(file)]


def _is_cvat(file: Path) -> bool:
    with file.open("rb") as opened:
        return bool(_ROOT.search(opened.read(START_BYTES)))


def _read_file(file: Path, folders: list[Path], reading: Reading) -> None:
    try:
        elements = list(plain_xml(file, "image"))
        if not elements and next(plain_xml(file, "track"), None) is not None:
            raise ValueError("tracks of a video; expected an export as CVAT for images")
    except ValueError as error:
        reading.problems.append(found("unreadable-annotations", str(error), file))
        return
    paths = [finding.picture_named(one.get("name", ""), folders) for one in elements]
    sizes, problems = finding.sizes_of(paths)
    reading.problems.extend(problems)
    for element, path in zip(elements, paths, strict=True):
        if path not in sizes:
            continue
        try:
            says = int(element.get("height", "")), int(element.get("width", ""))
        except ValueError:
            says = sizes[path]
        wrong = finding.size_problem(path, sizes[path], says, f"{file.name} says")
        if wrong:
            reading.problems.append(wrong)
        else:
            shapes = _read_shapes(element, file, sizes[path], reading.problems)
            reading.pictures.append(Picture(path, sizes[path], shapes))


def _read_shapes(image: ET.Element, file: Path, size: tuple[int, int], problems: list[Problem]) -> list[Shape]:
    shapes = []
    for number, element in enumerate(one for one in image if one.tag in SHAPES):
        place = f"{image.get('name')}, {element.tag} {number}"
        try:
            label = element.get("label", "").strip()
            if not label:
                raise AnnotationError("no-class", "expected a label")
            shapes.append(Shape(label, _segmentation(element, size), file, place))
        except ValueError as error:
            problems.append(refusal(error, file, place))
    return shapes


def _segmentation(element: ET.Element, size: tuple[int, int]) -> list[list[float]] | Rle:
    turn = math.radians(_number(element, "rotation", "0"))
    if element.tag == "polygon":
        pairs = [pair.split(",") for pair in element.get("points", "").split(";")]
        points = [_value(text, "points") for pair in pairs for text in pair]
        if any(len(pair) != 2 for pair in pairs) or len(points) < 6:
            raise ValueError(f"expected three points or more, x,y;x,y;..., got {element.get('points', '')[:40]!r}")
        return [points]
    if element.tag == "box":
        box = [_number(element, name) for name in ("xtl", "ytl", "xbr", "ybr")]
        return [turned(rectangle(*numbers(box, 4)), turn)]
    if element.tag == "ellipse":
        cx, cy, rx, ry = (_number(element, name) for name in ("cx", "cy", "rx", "ry"))
        return [ellipse(cx, cy, rx, ry, turn)]
    if element.tag == "mask":
        return _mask(element, size)
    raise AnnotationError("open-shape", f"a {element.tag}")


def _mask(element: ET.Element, size: tuple[int, int]) -> Rle:
    """Runs of 0s and 1s, row by row in a window, which may leave the picture."""
    left, top, width, height = (int(_number(element, name)) for name in ("left", "top", "width", "height"))
    counts = [int(_value(text, "rle")) for text in element.get("rle", "").split(",")]
    inside_width, inside_height = min(size[1], left + width) - max(0, left), min(size[0], top + height) - max(0, top)
    if inside_width <= 0 or inside_height <= 0:
        raise AnnotationError(
            "mask-outside-image", f"the mask begins at x {left}, y {top}, outside {size[0]} x {size[1]}"
        )
    if width > 2 * size[1] or height > 2 * size[0] or min(counts) < 0 or sum(counts) != width * height:
        raise AnnotationError(
            "rle-counts", f"expected runs that fill {height} x {width}, got a sum of {excerpt(sum(counts))}"
        )
    bitmap = np.repeat(np.arange(len(counts)) % 2 == 1, np.array(counts, np.int64)).reshape(height, width)
    y, x = max(0, -top), max(0, -left)
    return encode_window(bitmap[y : y + inside_height, x : x + inside_width], max(0, left), max(0, top), size)


def _number(element: ET.Element, name: str, otherwise: str = "") -> float:
    return _value(element.get(name, otherwise), name)


def _value(text: str, name: str) -> float:
    if not _NUMBER.fullmatch(text.strip()) or not math.isfinite(value := float(text)):
        raise ValueError(f"{name}: expected a number, got {text[:40]!r}")
    return value
