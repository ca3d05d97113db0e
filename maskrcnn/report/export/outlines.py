"""Outlines as the formats have them: lists of numbers, and what becomes of holes and parts."""

import numpy as np

from maskrcnn.report.export.picture import FoundObject
from maskrcnn.structures.polygons import one_ring

DECIMALS = 3
"""Of coordinates: a thousandth of a pixel; whole ones stay whole."""
JOINED = "objects of several parts or with holes are one ring, with cuts of no width: no pixel is lost"


def points(ring: np.ndarray) -> list[list[float]]:
    """[[x, y], ...]."""
    return [[_short(x), _short(y)] for x, y in ring.tolist()]


def flat(ring: np.ndarray) -> list[float]:
    """[x, y, x, y, ...]."""
    return [_short(value) for value in ring.ravel().tolist()]


def ring_of(found: FoundObject) -> np.ndarray:
    """The whole object as one ring (P, 2)."""
    return found.outline[0]["exterior"] if found.is_one_ring else one_ring(found.outline)


def closed(ring: np.ndarray) -> list[list[float]]:
    """[[x, y], ...] with the first point again at the end."""
    made = points(ring)
    return [*made, made[0]]


def _short(value: float) -> float:
    value = round(value, DECIMALS)
    return int(value) if value.is_integer() else value
