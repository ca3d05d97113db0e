"""Which points are in a region."""

import cv2
import numpy as np
import pytest

from maskrcnn.structures.regions import Region

SQUARE = np.array([[2.0, 3.0], [10.0, 3.0], [10.0, 9.0], [2.0, 9.0]])
HOLE = np.array([[4.0, 5.0], [6.0, 5.0], [6.0, 7.0], [4.0, 7.0]])


def test_by_hand() -> None:
    region = Region("a", (SQUARE, HOLE))
    points = np.array([[3, 4], [5, 6], [11, 4], [2, 3], [10, 9], [5, 4.9], [np.nan, np.nan], [-5, 6]])
    assert region.contains(points).tolist() == [True, False, False, True, False, True, False, False]
    assert region.area_px == 8 * 6 - 2 * 2


@pytest.mark.parametrize("turned", [False, True])
def test_as_opencv_says(turned: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        ring = rng.uniform(0, 50, (9, 2)).astype(np.float32)
        ring = ring[::-1] if turned else ring
        hull = cv2.convexHull(ring)[:, 0]
        points = rng.uniform(-5, 55, (300, 2))
        expected = [cv2.pointPolygonTest(hull, (float(x), float(y)), False) > 0 for x, y in points]
        assert Region("a", (hull,)).contains(points).tolist() == expected


def test_regions_side_by_side_share_no_point() -> None:
    rng = np.random.default_rng(2)
    middle = np.array([[20.3, 0], [21.7, 13.1], [18.9, 50.0]])
    left = Region("l", (np.array([[0, 0], *middle, [0, 50.0]]),))
    right = Region("r", (np.array([[50, 50.0], *middle[::-1], [50, 0]]),))
    along = middle[:1] + rng.uniform(0, 1, (200, 1)) * (middle[1:2] - middle[:1])
    points = np.concatenate([rng.uniform(0, 50, (500, 2)), along])
    points = points[points[:, 1] < 50]
    assert (left.contains(points) ^ right.contains(points)).all()


def test_no_points() -> None:
    assert Region("a", (SQUARE,)).contains(np.zeros((0, 2))).shape == (0,)


def test_parts_and_islands_in_holes() -> None:
    island = HOLE * 0.5 + HOLE.mean(0) * 0.5
    far = SQUARE + 100
    assert Region("a", (island, HOLE, SQUARE, far)).area_px == 48 - 4 + 1 + 48
