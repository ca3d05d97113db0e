"""Label Studio: JSON of tasks with polygons, brushes, rectangles and ellipses in percent of the picture's sides."""

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import Picture, Reading, Shape, assemble
from maskrcnn.data.formats.outlines import ellipse, flat, numbers, rectangle, turned
from maskrcnn.data.pictures.finding import IMAGE_EXTENSIONS
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal
from maskrcnn.structures.rle import Rle, encode
from maskrcnn.untrusted.excerpt import excerpt

LOOKED_FOR = "a JSON file of Label Studio (a list of tasks with data and annotations)"
TYPES = {"polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels", "keypointlabels"}
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""What Label Studio calls a file that was uploaded."""


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(finding.parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """What people annotated, of several the last; where nobody did, the predictions.

    Pictures are found by the last part of their address, beside the file, in images/, or in `images`.
    """
    return assemble(finding.read_splits(path, images, _files_in, _read_split), path, images)


def _read_split(part: Path, images: Path | None) -> Reading:
    reading = Reading()
    for file in _files_in(part):
        _read_tasks(file, [images] if images else [file.parent, file.parent / "images"], reading)
    return reading


def _files_in(path: Path) -> list[Path]:
    return finding.json_files(path, "label-studio")


def _read_tasks(file: Path, folders: list[Path], reading: Reading) -> None:
    paths: dict[int, Path] = {}
    tasks = finding.load_json(file)
    for number, task in enumerate(tasks):
        address = _address(task)
        if address is None:
            reading.problems.append(
                found("bad-annotation", "expected a task with the address of an image", file, number)
            )
        else:
            paths[number] = _picture(address, folders)
    sizes, problems = finding.sizes_of(paths.values())
    reading.problems.extend(problems)
    for number, path in paths.items():
        if path in sizes:
            shapes = _read_results(tasks[number], file, path.name, sizes[path], reading.problems)
            reading.pictures.append(Picture(path, sizes[path], shapes))


def _address(task: Any) -> str | None:
    """The one of its data that is called like a picture, or `image`."""
    data = task.get("data") if isinstance(task, dict) else None
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    named = [text for text in texts.values() if PurePosixPath(_path(text)).suffix.lower() in IMAGE_EXTENSIONS]
    return texts.get("image") or (named[0] if named else None)


def _path(address: str) -> str:
    """The path in an address; /data/local-files/?d=a/b.png is a/b.png."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    if parts.query.startswith("d="):
        return unquote(parts.query[2:])
    return unquote(parts.path) if parts.scheme or address.startswith("/") else address


def _picture(address: str, folders: list[Path]) -> Path:
    path = finding.picture_named(_path(address), folders)
    uploaded = _UPLOADED.fullmatch(path.name)
    return path if path.is_file() or not uploaded else finding.picture_named(uploaded[1], folders)


def _results(task: Mapping[str, Any]) -> list[Any]:
    for key in ("annotations", "predictions"):
        given = task.get(key)
        made = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        made = [one for one in made if not one.get("was_cancelled")]
        if made:
            result = made[-1].get("result")
            return result if isinstance(result, list) else []
    return []


def _read_results(
    task: Mapping[str, Any], file: Path, picture: str, size: tuple[int, int], problems: list[Problem]
) -> list[Shape]:
    shapes = []
    for number, region in enumerate(_results(task)):
        kind = region.get("type") if isinstance(region, dict) else None
        if not isinstance(kind, str) or kind not in TYPES:  # a choice, a text, a relation
            continue
        place = f"{picture}, region {number}"
        try:
            shapes.append(Shape(_label(region, kind), _segmentation(region, kind, size), file, place))
        except ValueError as error:
            problems.append(refusal(error, file, place))
    return shapes


def _label(region: Mapping[str, Any], kind: str) -> str:
    value = region.get("value")
    labels = value.get(kind) if isinstance(value, dict) else None
    if not isinstance(labels, list) or len(labels) != 1 or not str(labels[0]).strip():
        raise AnnotationError("no-class", f"expected one label in {kind}, got {labels!r:.60}")
    return str(labels[0]).strip()


def _segmentation(region: Mapping[str, Any], kind: str, size: tuple[int, int]) -> list[list[float]] | Rle:
    value, (height, width) = region["value"], size
    says = region.get("original_height", height), region.get("original_width", width)
    if tuple(says) != size:
        raise AnnotationError(
            "wrong-size", f"the picture is {height} x {width} (height x width), the region says {excerpt(says)}"
        )
    if region.get("image_rotation"):
        raise ValueError("the picture was turned in Label Studio, which is not undone here")
    if kind == "polygonlabels":
        points = flat(value.get("points"))
        if len(points) < 6:
            raise AnnotationError("two-point-polygon", f"expected three points or more, got {len(points) // 2}")
        return [[number * (height if k % 2 else width) / 100 for k, number in enumerate(points)]]
    if kind == "brushlabels":
        return encode(brush_mask(value.get("rle"), size))
    turn = math.radians(numbers([value.get("rotation") or 0], 1)[0])
    if kind == "rectanglelabels":
        x, y, w, h = numbers([value.get(key) for key in ("x", "y", "width", "height")], 4)
        x, y, w, h = x * width / 100, y * height / 100, w * width / 100, h * height / 100
        return [turned(rectangle(x, y, x + w, y + h), turn, (x, y))]
    if kind == "ellipselabels":
        x, y, rx, ry = numbers([value.get(key) for key in ("x", "y", "radiusX", "radiusY")], 4)
        return [ellipse(x * width / 100, y * height / 100, rx * width / 100, ry * height / 100, turn)]
    raise AnnotationError("open-shape", "a key point")


def brush_mask(data: Any, size: tuple[int, int]) -> np.ndarray:
    """Bool (H, W): where the alpha of a brush's RGBA is above 0; its bytes are as `report/export` writes them.

    Raises:
        ValueError: no bytes, cut off, or not of the size of the picture.
    """
    is_bytes = isinstance(data, list) and all(isinstance(one, int) and 0 <= one <= 255 for one in data)
    if not is_bytes or len(data) < 8:
        raise ValueError("rle: expected a list of bytes")
    bits = np.unpackbits(np.array(data, np.uint8))
    place = 0

    def take(num: int) -> int:
        nonlocal place
        if place + num > len(bits):
            raise ValueError("rle: the bytes end too early")
        place += num
        return int("".join(map(str, bits[place - num : place].tolist())), 2)

    num_values, word_bits = take(32), take(5) + 1
    counts_bits = [take(4) + 1 for _ in range(4)]
    if num_values != 4 * size[0] * size[1]:
        raise ValueError(f"rle: expected RGBA of {size[0]} x {size[1]} pixels, got {num_values} values")
    values = np.zeros(num_values, np.uint8)
    at = 0
    while at < num_values:
        is_run = take(1)
        count = take(counts_bits[take(2)]) + 1
        if is_run:
            values[at : at + count] = take(word_bits) > 0
        else:
            end = place + count * word_bits
            if end > len(bits):
                raise ValueError("rle: the bytes end too early")
            words: np.ndarray = np.any(bits[place:end].reshape(count, word_bits), axis=1)
            values[at : at + count] = words[: num_values - at]
            place = end
        at += count
    return np.greater(values.reshape(*size, 4)[..., 3], 0)
