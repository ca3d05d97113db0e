"""Shapes of annotation tools as polygons x, y, x, y, ... in pixels."""

import math
from typing import Any

import numpy as np
import pycocotools.mask

from maskrcnn.data.mask_reading import read_mask
from maskrcnn.data.problems import AnnotationError
from maskrcnn.structures.polygons import Polygon, one_ring
from maskrcnn.structures.rle import Rle

MAX_GAP_PX = 0.05
"""Between an ellipse and the polygon that stands for it."""
MAX_RADIUS_PX = 1e6
"""No picture that is read is larger, and the number of points grows with the radius."""


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    """From any two opposite corners."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def ellipse(cx: float, cy: float, rx: float, ry: float, angle: float = 0.0) -> list[float]:
    """A polygon of the same area. `angle` is that of rx, in radians, from the x axis towards the y axis.

    Raises ValueError for a radius that is not above 0, or above `MAX_RADIUS_PX`.
    """
    if not (rx > 0 and ry > 0):
        raise ValueError(f"expected a radius above 0, got {min(rx, ry):g}")
    if max(rx, ry) > MAX_RADIUS_PX:
        raise AnnotationError("far-coordinates", f"expected a radius up to {MAX_RADIUS_PX:g} px, got {max(rx, ry):g}")
    num = max(16, math.ceil(math.pi / math.acos(1 - MAX_GAP_PX / max(rx, ry, 2 * MAX_GAP_PX))))
    turn = 2 * math.pi * np.arange(num) / num
    growth = math.sqrt(2 * math.pi / num / math.sin(2 * math.pi / num))  # of an inscribed polygon to equal area
    along, across = growth * rx * np.cos(turn), growth * ry * np.sin(turn)
    x = cx + along * math.cos(angle) - across * math.sin(angle)
    y = cy + along * math.sin(angle) + across * math.cos(angle)
    return np.stack([x, y], axis=1).ravel().tolist()


def flat(points: Any) -> list[float]:
    """[[x, y], ...] -> [x, y, ...]. Raises ValueError for anything but pairs of finite numbers."""
    if not isinstance(points, list):
        raise ValueError(f"expected points [[x, y], ...], got {points!r:.60}")
    return [value for point in points for value in numbers(point, 2)]


def numbers(values: Any, count: int | None = None) -> list[float]:
    """`values` as floats. Raises ValueError unless it is a list of finite numbers, `count` of them if that is given."""
    is_numbers = isinstance(values, list | tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
    if not is_numbers or (count is not None and len(values) != count):
        raise ValueError(f"expected {count if count is not None else 'a list of'} numbers, got {values!r:.60}")
    return [float(value) for value in values]


def turned(points: list[float], angle: float, centre: tuple[float, float] | None = None) -> list[float]:
    """x, y, x, y, ... turned by `angle`, radians from the x axis towards the y axis, about `centre` or their mean."""
    if not angle:
        return points
    pairs = np.array(points).reshape(-1, 2)
    about = np.array(centre) if centre is not None else pairs.mean(axis=0)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return ((pairs - about) @ turn + about).ravel().tolist()


def filled(parts: list[list[list[float]]], size: tuple[int, int]) -> list[list[float]] | Rle:
    """Parts of an object, each its outer ring and its holes, x, y, x, y, ...: polygons, or an RLE if there are holes.

    Raises:
        AnnotationError: rings that are no outline in a picture of `size` (height, width).
    """
    if all(len(rings) == 1 for rings in parts):
        return [rings[0] for rings in parts]
    for rings in parts:
        _, rle, findings = read_mask(rings, size)
        if rle is None:
            raise AnnotationError(*findings[0])
    polygons: list[Polygon] = []
    for rings in parts:
        exterior, *holes = (np.array(ring).reshape(-1, 2) for ring in rings if len(ring) >= 6)
        polygons.append({"exterior": exterior, "holes": holes})
    rles: Any = pycocotools.mask.frPyObjects([one_ring(polygons).ravel().tolist()], *size)
    return {"size": list(size), "counts": rles[0]["counts"].decode("ascii")}
