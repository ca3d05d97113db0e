"""What a person asks for, checked, and made into objects that take the place of others."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from maskrcnn.prediction.predictor import Predictor
from maskrcnn.serve.objects import Change, MarkedObject, changed, drawn
from maskrcnn.serve.project import MAX_NAME, now
from maskrcnn.serve.record import PictureRecord
from maskrcnn.serve.shaping import cut, polygon, stroke, union, without
from maskrcnn.structures.rle import encode_window, rle_area, rle_window

MAX_POINTS = 20_000
MAX_NUMBERS = 100_000
AROUND = 1.0
"""Of a box's longer side: so much of a large picture beside the box is looked at with it."""
MIN_AROUND_PX = 64
Number = Annotated[int, Field(ge=1)]
Numbers = Annotated[list[Number], Field(min_length=1, max_length=MAX_NUMBERS)]
Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Point = tuple[Coordinate, Coordinate]
Points = Annotated[list[Point], Field(max_length=MAX_POINTS)]
Label = Annotated[int, Field(ge=0)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    by: Annotated[str, Field(max_length=MAX_NAME)] = ""


class Remove(_Asked):
    """Take objects away."""

    what: Literal["remove"]
    numbers: Numbers


class Relabel(_Asked):
    """Give objects another class."""

    what: Literal["relabel"]
    numbers: Numbers
    label: Label


class AddBox(_Asked):
    """Add the object in a box: the network outlines it, and names it where no label is given."""

    what: Literal["add-box"]
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    label: Label | None = None


class AddPolygon(_Asked):
    """Add an object by its outline."""

    what: Literal["add-polygon"]
    points: Points
    label: Label


class Brush(_Asked):
    """Add the pixels of a stroke to an object, or take them from it; without a number a new object."""

    what: Literal["brush"]
    points: Points
    radius: Annotated[float, Field(ge=0.5, le=500)]
    number: Number | None = None
    erases: bool = False
    label: Label = 0


class Merge(_Asked):
    """Make one object of several; its class is that of the largest."""

    what: Literal["merge"]
    numbers: Annotated[list[Number], Field(min_length=2, max_length=MAX_NUMBERS)]


class Split(_Asked):
    """Cut an object along a line."""

    what: Literal["split"]
    number: Number
    points: Points


Asked = Annotated[Remove | Relabel | AddBox | AddPolygon | Brush | Merge | Split, Field(discriminator="what")]
Outcome = tuple[list[int], list[MarkedObject]]
"""Numbers of the objects that go, and those that come."""


def outcome(asked: Any, picture: PictureRecord, class_names: Sequence[str], in_box: Callable[[AddBox], Any]) -> Outcome:
    """What a correction does to a picture.

    Args:
        in_box: gives the (label, RLE) of what the network sees in a box.

    Raises:
        ValueError: it cannot be done; the message is for who asked.
    """
    change = Change(asked.what, asked.by, now())
    label = getattr(asked, "label", None)
    if label is not None and label >= len(class_names):
        raise ValueError(f"label: expected 0 to {len(class_names) - 1}, got {label}")
    free = picture.last_number + 1
    if isinstance(asked, Remove):
        return [one.number for one in _known(picture, asked.numbers)], []
    if isinstance(asked, Relabel):
        known = _known(picture, asked.numbers)
        return [one.number for one in known], [changed(one, change, label=asked.label) for one in known]
    if isinstance(asked, AddBox):
        label, rle = in_box(asked)
        return [], [drawn(free, label, rle, change)]
    points = np.array(getattr(asked, "points", []), float).reshape(-1, 2)
    if isinstance(asked, AddPolygon):
        return [], [drawn(free, asked.label, polygon(points, picture.size), change)]
    if isinstance(asked, Merge):
        known = _known(picture, asked.numbers)
        if len(known) < 2:
            raise ValueError("two different objects are needed to merge")
        largest = max(known, key=lambda one: rle_area(one.rle))
        before = tuple(each for one in known for each in one.changes)
        merged = drawn(free, largest.label, union([one.rle for one in known]), change, before)
        return [one.number for one in known], [merged]
    if isinstance(asked, Split):
        (one,) = _known(picture, [asked.number])
        pieces = cut(one.rle, points)
        return [one.number], [drawn(free + i, one.label, rle, change, one.changes) for i, rle in enumerate(pieces)]
    return _brushed(asked, points, picture, change)


def _brushed(asked: Brush, points: np.ndarray, picture: PictureRecord, change: Change) -> Outcome:
    covered = stroke(points, asked.radius, picture.size)
    if asked.number is None:
        if asked.erases:
            raise ValueError("choose the object to erase from first")
        return [], [drawn(picture.last_number + 1, asked.label, covered, change)]
    (one,) = _known(picture, [asked.number])
    rle = without(one.rle, covered) if asked.erases else union([one.rle, covered])
    if not rle_area(rle):
        return [one.number], []
    x0, y0, x1, y1 = rle_window(rle)
    return [one.number], [changed(one, change, rle=rle, box=(float(x0), float(y0), float(x1), float(y1)))]


def outlined(predictor: Predictor, image: np.ndarray, asked: AddBox) -> Any:
    """(label, RLE) of what the network sees in a box of a picture, RGB uint8 (H, W, 3).

    A picture that is done in tiles is looked at around the box only.

    Raises:
        ValueError: a box that is empty or outside, or nothing in it.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = asked.box
    box = [max(0.0, min(x0, x1)), max(0.0, min(y0, y1)), min(width, max(x0, x1)), min(height, max(y0, y1))]
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise ValueError("the box is smaller than a pixel, or outside the picture")
    left, top, right, bottom = 0, 0, width, height
    if predictor.needs_tiles((height, width)):
        reach = max(MIN_AROUND_PX, AROUND * max(box[2] - box[0], box[3] - box[1]))
        left, top = (int(max(0, edge - reach)) for edge in box[:2])
        right, bottom = int(min(width, box[2] + reach)), int(min(height, box[3] + reach))
    inside = [box[0] - left, box[1] - top, box[2] - left, box[3] - top]
    labels = None if asked.label is None else [asked.label]
    found: Any = predictor.masks_for(np.ascontiguousarray(image[top:bottom, left:right]), [inside], labels)
    ((x, y, bitmap),) = found.crops()
    if not bitmap.any():
        raise ValueError("the network sees no object in this box; draw its outline instead")
    return int(found.labels[0]), encode_window(bitmap, x + left, y + top, (height, width))


def _known(picture: PictureRecord, numbers: Sequence[int]) -> list[MarkedObject]:
    missing = [number for number in numbers if number not in picture.objects]
    if missing:
        raise ValueError(f"there is no object {missing[0]} in this picture; another window may have changed it")
    return [picture.objects[number] for number in dict.fromkeys(numbers)]
