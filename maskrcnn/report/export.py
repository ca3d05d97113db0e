"""Write results for other programs: counts as CSV, detections as COCO JSON, pictures; a file is never half written."""

import csv
import io
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.names import table_cell, utf8
from maskrcnn.structures.instances import Instances

MAX_HEADER_BYTES = 1 << 20
"""Of a table's first line, for `is_ours`: thousands of class names."""
DESCRIPTION = "Objects found by Mask R-CNN"
MEASURED_FIRST = ("file", "id", "class", "score", "box_x0", "box_y0", "box_x1", "box_y1")
"""The first columns of a job's table of measurements."""
DRAWING_ENDING = "_instances.png"
"""How the file name of a drawing of a job ends."""
_PNG_HEADER_BYTES = 33  # signature and IHDR, which is always the first chunk
_MARK = b"tEXtSoftware\0maskrcnn"
_OUR_JSON = f'{{"info":{{"description":"{DESCRIPTION}"'.encode()


@dataclass(frozen=True)
class CountRow:
    """What came of one file."""

    file: str
    counts: Mapping[str, int] | None
    """By class name; None where it is not known."""
    status: str
    """`ok`, or what kept the file from being counted whole."""


def counts_csv(path: str | Path, rows: Iterable[CountRow], class_names: Sequence[str]) -> None:
    """Write one line per file: `file`, one column for each of `class_names`, `total`, `status`.

    A class that a row lacks is written as 0; where the counts are not known the cells are empty. The table is UTF-8 and
    holds no line of sums. Names and words are written as `table_cell` makes them, so that no cell is a formula.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", *map(table_cell, class_names), "total", "status"])
    for row in rows:
        numbers: list[int | str] = [""] * (len(class_names) + 1)
        if row.counts is not None:
            numbers = [*(row.counts.get(name, 0) for name in class_names), sum(row.counts.values())]
        table.writerow([table_cell(row.file), *numbers, table_cell(row.status)])
    _write(path, text.getvalue().encode())


def coco_dict(
    results: Iterable[tuple[str, Instances]], class_names: Sequence[str], category_ids: Sequence[int] | None = None
) -> dict[str, Any]:
    """COCO dataset of the detections in `results`, (file name, instances) of each image, that `pycocotools` opens.

    Masks are compressed RLE, `area` counts their pixels, `bbox` is x y width height of the predicted box, unrounded.
    `category_ids` gives the COCO id of each label, 1..K by default. Images are numbered 1, 2, ... as they come, and
    `results` is gone through once, so that it may make one at a time.

    Names are written as `utf8` makes them, for JSON that every parser takes.

    Raises:
        ValueError: results with other class names, a score or a box that is no finite number, or not one distinct
            category id for each class.
    """
    class_names = tuple(class_names)
    ids = list(range(1, len(class_names) + 1)) if category_ids is None else [int(i) for i in category_ids]
    if len(ids) != len(class_names) or len(set(ids)) != len(ids):
        raise ValueError(f"expected {len(class_names)} distinct category ids, one for each class, got {ids}")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (file_name, instances) in enumerate(results, start=1):
        if instances.class_names != class_names:
            raise ValueError(f"{file_name}: expected the classes {class_names}, got {instances.class_names}")
        _expect_finite(file_name, instances)
        height, width = instances.image_size
        images.append({"id": image_id, "file_name": utf8(file_name), "width": width, "height": height})
        boxes = instances.boxes.tolist()
        labels = instances.labels.tolist()
        scores = instances.scores.tolist()
        for box, label, score, area, rle in zip(
            boxes, labels, scores, instances.areas().tolist(), instances.rles(), strict=True
        ):
            x0, y0, x1, y1 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[label],
                    "score": score,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": rle,
                }
            )
    categories = [{"id": i, "name": utf8(name)} for i, name in zip(ids, class_names, strict=True)]
    return {
        "info": {"description": DESCRIPTION},
        "images": images,
        "categories": categories,
        "annotations": annotations,
    }


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
    data = _encoded(path, image)
    length, checksum = struct.pack(">I", len(_MARK) - 4), struct.pack(">I", zlib.crc32(_MARK))
    _write(path, b"".join((data[:_PNG_HEADER_BYTES], length, _MARK, checksum, data[_PNG_HEADER_BYTES:])))


def is_ours(path: str | Path) -> bool:
    """Whether a PNG, CSV or JSON file was written by `write_drawing`, `counts_csv` or as COCO JSON of `coco_dict`."""
    path = Path(path)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if path.suffix == ".csv":
                header = next(csv.reader([file.readline(MAX_HEADER_BYTES).decode()]), [])
                is_of_counts = header[:1] == ["file"] and header[-2:] == ["total", "status"]
                return is_of_counts or header[: len(MEASURED_FIRST)] == list(MEASURED_FIRST)
            start = file.read(_PNG_HEADER_BYTES + 4 + len(_MARK))  # enough of a JSON, too
    except (OSError, ValueError, csv.Error):
        return False
    return start.endswith(_MARK) if path.suffix == ".png" else start.startswith(_OUR_JSON)


def _expect_finite(file_name: str, instances: Instances) -> None:
    for name in ("scores", "boxes"):
        values = getattr(instances, name)
        bad = (~values.isfinite()).nonzero()[:, 0].tolist()
        if bad:
            raise ValueError(f"{file_name}: {name} of object {bad[0]} are no finite numbers: {values[bad[0]].tolist()}")


def _encoded(path: str | Path, image: np.ndarray) -> memoryview:
    suffix = Path(path).suffix
    if not suffix or not cv2.haveImageWriter(f"x{suffix}"):
        raise ValueError(f"{path}: expected a picture's extension such as .png or .jpg, got {suffix!r}")
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return data.data


def _write(path: str | Path, data: bytes | memoryview) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
