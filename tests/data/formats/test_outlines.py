"""Shapes as polygons, against geometry."""

import math
from typing import Any

import numpy as np
import pycocotools.mask
import pytest

from maskrcnn.data.formats.outlines import ellipse, flat, numbers, rectangle


def area(polygon: list[float]) -> float:
    """The shoelace formula."""
    x, y = np.array(polygon).reshape(-1, 2).T
    return float(abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2)


@pytest.mark.parametrize(("rx", "ry", "angle"), [(0.3, 0.2, 0), (5, 5, 1), (40, 12, 0.4), (900, 2, 3), (1000, 700, 0)])
def test_an_ellipse_has_the_area_pi_a_b_and_its_polygon_is_near_it(rx: float, ry: float, angle: float):
    polygon = ellipse(100, 200, rx, ry, angle)
    assert area(polygon) == pytest.approx(math.pi * rx * ry, rel=1e-9)
    x, y = np.array(polygon).reshape(-1, 2).T
    x, y = x - 100, y - 200
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    radius = np.hypot(along / rx, across / ry)  # 1 on the ellipse
    assert np.abs(radius - 1).max() * max(rx, ry) < 0.1


def test_the_pixels_of_an_ellipse():
    rles: Any = pycocotools.mask.frPyObjects([ellipse(200, 150, 90, 40, 0.5)], 300, 400)  # pyright: ignore
    assert int(pycocotools.mask.area(rles[0])) == pytest.approx(math.pi * 90 * 40, rel=0.01)


def test_the_angle_turns_from_x_to_y():
    # A quarter turn of an ellipse 30 wide and 10 high: it is 10 wide and 30 high, from y 70 to 130.
    x, y = np.array(ellipse(50, 100, 30, 10, math.pi / 2)).reshape(-1, 2).T
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((40, 60, 70, 130), abs=0.2)
    # An eighth: the end of the long axis is to the right and, y being down, below.
    x, y = np.array(ellipse(0, 0, 30, 1, math.pi / 4)).reshape(-1, 2).T
    assert (x - y)[np.argmax(x + y)] == pytest.approx(0, abs=0.5)
    assert (x + y).max() == pytest.approx(30 * math.sqrt(2), abs=0.2)


def test_a_rectangle_is_that_of_any_two_corners():
    assert area(rectangle(10, 50, 4, 20)) == 6 * 30
    assert rectangle(1, 2, 3, 4) == [1, 2, 3, 2, 3, 4, 1, 4]


def test_what_are_no_numbers_is_refused():
    for values in (None, "12", [1, None], [1, "2"], [1, math.nan], [True, 2], {"x": 1}):
        with pytest.raises(ValueError, match="expected"):
            numbers(values, 2)
    for points in (None, [1, 2], [[1, 2, 3]], [[1], [2]]):
        with pytest.raises(ValueError, match="expected"):
            flat(points)
    for radius in (0, -3):
        with pytest.raises(ValueError, match="radius above 0"):
            ellipse(0, 0, radius, 4)
