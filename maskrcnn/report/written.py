"""JSON and pictures, never half written, and the files of earlier jobs known again."""

import csv
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.report.export.coco import DESCRIPTION
from maskrcnn.report.job_page import MARK as PAGE_MARK
from maskrcnn.report.pyramid import is_our_pyramid

MAX_HEADER_BYTES = 1 << 20
"""Of a table's first line, for `is_ours`: thousands of class names."""
MEASURED_FIRST = ("file", "page", "id", "class", "score", "box_x0", "box_y0", "box_x1", "box_y1")
"""The first columns of a job's table of measurements."""
REGIONS_FIRST = ("file", "page", "region", "area_px")
"""Of that of regions."""
CLASSES_HEADER = ("value", "class", "red", "green", "blue", "pixels", "share")
"""Columns of a table of the classes of semantic maps."""
SHARES_LAST = ("no class", "status")
"""The last columns of a job's table of shares of pixels."""
DRAWING_ENDING = "_instances.png"
"""How the file name of a drawing of a job ends."""
FULL_ENDING = "_instances.tif"
"""The same of a slide at its full size."""
_PNG_HEADER_BYTES = 33  # signature and IHDR, which is always the first chunk
_MARK = b"tEXtSoftware\0maskrcnn"
_OUR_JSON = f'{{"info":{{"description":"{DESCRIPTION}"'.encode()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as compact UTF-8 JSON.

    Raises:
        ValueError: a NaN or an infinity, which JSON cannot hold; nothing is written then.
    """
    try:
        text = json_text(value)
    except ValueError as error:
        raise ValueError(f"{path}: not written, since JSON cannot hold what is in it ({error})") from error
    _write(path, text.encode("utf-8", "backslashreplace"))  # a lone surrogate becomes the escape that JSON has for it


def json_text(value: Any) -> str:
    """`value` as compact JSON; ValueError for a NaN or an infinity."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an RGB uint8 (H, W, 3) picture in the format that the extension of `path` names.

    Raises:
        ValueError: an extension that OpenCV cannot write.
    """
    _write(path, _encoded(path, image))


def write_drawing(path: str | Path, image: np.ndarray) -> None:
    """`write_image` for a PNG that carries a mark, by which `is_ours` knows it."""
    write_marked_png(path, _encoded(path, image))


def write_marked_png(path: str | Path, data: bytes | memoryview) -> None:
    """Write the bytes of a PNG file with the mark in them."""
    length, checksum = struct.pack(">I", len(_MARK) - 4), struct.pack(">I", zlib.crc32(_MARK))
    _write(path, b"".join((data[:_PNG_HEADER_BYTES], length, _MARK, checksum, data[_PNG_HEADER_BYTES:])))


def is_ours(path: str | Path) -> bool:
    """Whether a file is a marked PNG or TIFF, a table or the page of a job, or COCO JSON of `coco_dict`."""
    path = Path(path)
    try:
        if not path.is_file():
            return False
        if path.suffix == ".tif":
            return is_our_pyramid(path)
        with path.open("rb") as file:
            if path.suffix == ".html":
                return file.read(200).startswith(f"<!DOCTYPE html>\n{PAGE_MARK}".encode())
            if path.suffix == ".csv":
                header = next(csv.reader([file.readline(MAX_HEADER_BYTES).decode()]), [])
                is_of_files = header[:1] == ["file"] and (
                    (header[-1:] == ["status"] and "total" in header) or header[-2:] == list(SHARES_LAST)
                )
                return (
                    is_of_files
                    or header == list(CLASSES_HEADER)
                    or any(header[: len(first)] == list(first) for first in (MEASURED_FIRST, REGIONS_FIRST))
                )
            start = file.read(_PNG_HEADER_BYTES + 4 + len(_MARK))  # enough of a JSON, too
    except (OSError, ValueError, csv.Error):
        return False
    return start.endswith(_MARK) if path.suffix == ".png" else start.startswith(_OUR_JSON)


def _encoded(path: str | Path, image: np.ndarray) -> memoryview:
    suffix = Path(path).suffix
    if not suffix or not cv2.haveImageWriter(f"x{suffix}"):
        raise ValueError(f"{path}: expected an image's extension such as .png or .jpg, got {suffix!r}")
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return data.data


def _write(path: str | Path, data: bytes | memoryview) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
