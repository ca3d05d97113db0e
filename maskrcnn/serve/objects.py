"""One object of a picture that persons correct: what it is, and who changed what."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskrcnn.report.export.picture import FoundObject
from maskrcnn.serve.engine import Found
from maskrcnn.structures.polygons import rle_to_polygons
from maskrcnn.structures.rle import Rle, rle_area, rle_counts, rle_window
from maskrcnn.untrusted.names import utf8


@dataclass(frozen=True)
class Change:
    """That somebody did something."""

    what: str
    by: str
    at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class MarkedObject:
    """An object as it is after some changes; a value, so that undoing is putting the old one back."""

    number: int
    """In its picture, from 1; no other object of the picture ever has it."""
    label: int
    """Index into the class names."""
    rle: Rle
    box: tuple[float, float, float, float]
    """x0 y0 x1 y1, px."""
    score: float | None = None
    """0..1, of the network; None for what a person drew."""
    changes: tuple[Change, ...] = ()
    """Oldest first; empty for what the network found and nobody touched."""

    def is_counted(self, score: float) -> bool:
        """Whether it is above a score threshold, or a person has had a hand in it."""
        return bool(self.changes) or self.score is None or self.score > score

    def to_dict(self) -> dict[str, Any]:
        """For the journal."""
        counts = self.rle["counts"]
        return vars(self) | {"rle": counts, "box": list(self.box), "changes": [vars(one) for one in self.changes]}

    @staticmethod
    def from_dict(stored: Mapping[str, Any], size: tuple[int, int]) -> "MarkedObject":
        """What `to_dict` gave, of an image of (height, width).

        Raises:
            ValueError, KeyError, TypeError: anything else.
        """
        rle = {"size": list(size), "counts": str(stored["rle"])}
        rle_counts(rle)
        x0, y0, x1, y1 = map(float, stored["box"])
        score = None if stored["score"] is None else float(stored["score"])
        changes = tuple(Change(str(one["what"]), str(one["by"]), str(one["at"])) for one in stored["changes"])
        return MarkedObject(int(stored["number"]), int(stored["label"]), rle, (x0, y0, x1, y1), score, changes)

    def shown(self) -> dict[str, Any]:
        """For the page: outlines as flat lists x y x y of every ring, to be filled by the even-odd rule."""
        rings = [ring for part in rle_to_polygons(self.rle) for ring in (part["exterior"], *part["holes"])]
        last = self.changes[-1] if self.changes else None
        return {
            "number": self.number,
            "label": self.label,
            "score": self.score,
            "area": rle_area(self.rle),
            "box": [round(edge, 2) for edge in self.box],
            "rings": [ring.astype(np.int64).ravel().tolist() for ring in rings],
            "changed": None if last is None else vars(last),
        }

    def as_found(self, class_names: tuple[str, ...]) -> FoundObject:
        """For the formats of other tools."""
        return FoundObject(class_names[self.label], self.rle, self.box, self.score, number=self.number)

    def as_coco(self) -> dict[str, Any]:
        """What a COCO annotation says of it, without ids."""
        x0, y0, x1, y1 = self.box
        known = {} if self.score is None else {"score": self.score}
        return {
            "number": self.number,
            **known,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": rle_area(self.rle),
            "iscrowd": 0,
            "segmentation": self.rle,
            "source": "model" if self.score is not None else "person",
            "changes": [{key: utf8(value) for key, value in vars(one).items()} for one in self.changes],
        }


def objects_of(found: Found) -> list[MarkedObject]:
    """Of a result, numbered as drawings are; without those that have no pixel."""
    instances = found.instances
    every = zip(
        instances.labels.tolist(), instances.rles(), instances.boxes.tolist(), instances.scores.tolist(), strict=True
    )
    made = [MarkedObject(i, label, rle, (b[0], b[1], b[2], b[3]), s) for i, (label, rle, b, s) in enumerate(every, 1)]
    return [one for one in made if rle_area(one.rle)]


def drawn(number: int, label: int, rle: Rle, change: Change, before: tuple[Change, ...] = ()) -> MarkedObject:
    """An object whose pixels come from a person; its box is the smallest around them."""
    x0, y0, x1, y1 = rle_window(rle)
    return MarkedObject(number, label, rle, (x0, y0, x1, y1), None, (*before, change))


def changed(one: MarkedObject, change: Change, **fields: Any) -> MarkedObject:
    """With other fields, and the change noted."""
    return replace(one, changes=(*one.changes, change), **fields)
