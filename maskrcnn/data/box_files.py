"""Boxes that a person or another detector gave, in a file: COCO JSON, or CSV with a line for each box."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrcnn.data.coco_records import brief, id_key
from maskrcnn.data.formats.finding import count_and_names, load_json
from maskrcnn.untrusted.excerpt import excerpt
from maskrcnn.untrusted.plain_text import read_lines

COLUMNS = ("file", "x0", "y0", "x1", "y1")
"""Of a CSV file, in this order where it has no header; `class` may follow."""


@dataclass(frozen=True)
class GivenBox:
    """One of them."""

    row: str
    """What messages call it: "line 7", "annotation 12"."""
    corners: tuple[float, float, float, float]
    """x0 y0 x1 y1, px of the image."""
    class_name: str | None = None
    """None where the file does not say it."""


@dataclass(frozen=True)
class BoxFile:
    """All boxes of a file, by the image that it names."""

    source: Path
    boxes: Mapping[str, tuple[GivenBox, ...]]

    def of(self, image: Path) -> tuple[GivenBox, ...]:
        """Those of an image, whose path ends as the file names it; none where it does not name it."""
        return next((boxes for name, boxes in self.boxes.items() if _is_named(image, name)), ())

    def check_images(self, images: Sequence[Path]) -> str | None:
        """A sentence on images that the file names and that are not among `images`; None where all are.

        Raises:
            ValueError: none of them is, or a name that several images have.
        """
        missing = []
        for name in self.boxes:
            named = [image for image in images if _is_named(image, name)]
            if len(named) > 1:
                raise ValueError(f"{self.source}: {name} is {named[0]} and {named[1]}: name it with its folder")
            missing += [name] * (not named)
        if missing and len(missing) == len(self.boxes):
            raise ValueError(f"{self.source}: none of the images that it names is given, such as {missing[0]}")
        return f"{self.source}: {count_and_names(missing)} of those that it names not given" if missing else None


def read_boxes(path: str | Path) -> BoxFile:
    """COCO JSON with images and annotations that have a bbox (x y width height), or CSV: file,x0,y0,x1,y1[,class].

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither of them, or a row that cannot be read; names the file and the row.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of boxes")
    rows = _of_csv(path) if path.suffix.lower() == ".csv" else _of_coco(path)
    boxes: dict[str, list[GivenBox]] = {}
    for name, box in rows:
        boxes.setdefault(name.replace("\\", "/"), []).append(box)
    if not boxes:
        raise ValueError(f"{path}: expected boxes, got none")
    # The longest name first: b/a.png is meant before a.png.
    names = sorted(boxes, key=lambda name: (-len(name), name))
    return BoxFile(path, {name: tuple(boxes[name]) for name in names})


def _is_named(image: Path, name: str) -> bool:
    return f"/{image.absolute().as_posix()}".endswith(f"/{name.removeprefix('./').removeprefix('/')}")


def _of_csv(path: Path) -> Iterator[tuple[str, GivenBox]]:
    rows = [(n, [cell.strip() for cell in row]) for n, row in enumerate(csv.reader(read_lines(path)), start=1)]
    rows = [(n, row) for n, row in rows if any(row)]
    header = [*COLUMNS, "class"]
    if rows and rows[0][1][0].lower() == COLUMNS[0]:
        header = [cell.lower() for cell in rows[0][1]]
        rows = rows[1:]
        lacking = [name for name in COLUMNS if name not in header]
        if lacking:
            raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}, got none called {lacking[0]}")
    for n, row in rows:
        values = dict(zip(header, row, strict=False))
        if len(row) < len(COLUMNS) or len(row) > len(header):
            raise ValueError(
                f"{path}, line {n}: expected {', '.join(COLUMNS)} and perhaps a class, got {len(row)} values"
            )
        corners = [_number(values[name]) for name in COLUMNS[1:]]
        if None in corners:
            raise ValueError(f"{path}, line {n}: expected four numbers, got {excerpt(','.join(row))}")
        yield values["file"], GivenBox(f"line {n}", tuple(corners), values.get("class") or None)  # pyright: ignore


def _of_coco(path: Path) -> Iterator[tuple[str, GivenBox]]:
    content = load_json(path)
    keys = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise ValueError(f"{path}: expected COCO JSON with lists of images and annotations, or a CSV file")
    name_of = {id_key(one.get("id")): one.get("file_name") for one in content["images"] if isinstance(one, dict)}
    categories = content.get("categories")
    class_of = {id_key(c.get("id")): c.get("name") for c in categories or [] if isinstance(c, dict)}
    for number, record in enumerate(content["annotations"]):
        record = record if isinstance(record, dict) else {}
        row = f"annotation {brief(record.get('id', f'number {number + 1}'))}"
        name, bbox = name_of.get(id_key(record.get("image_id"))), record.get("bbox")
        if not isinstance(name, str):
            raise ValueError(f"{path}, {row}: expected the image_id of an image with a file_name")
        numbers = [_number(value) for value in bbox] if isinstance(bbox, list) else []
        if len(numbers) != 4 or None in numbers:
            raise ValueError(f"{path}, {row}: expected a bbox of four numbers, got {brief(bbox)}")
        x, y, width, height = (float(value or 0) for value in numbers)
        found = class_of.get(id_key(record.get("category_id")))
        yield name, GivenBox(row, (x, y, x + width, y + height), found if isinstance(found, str) else None)


def _number(value: Any) -> float | None:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
