"""Outlines fill back to the mask they came from."""

from collections import Counter
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
import pytest

from maskrcnn.structures.polygons import Polygon, one_ring, rle_to_polygons
from maskrcnn.structures.rle import decode, encode

coco_mask: Any = pycocotools.mask  # its stubs know less than it accepts


def fill(polygons: list[Polygon], height: int, width: int) -> np.ndarray:
    """Set the pixels whose centre lies inside an odd number of rings, one edge at a time."""
    inside = np.zeros((height, width), bool)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    for polygon in polygons:
        for ring in (polygon["exterior"], *polygon["holes"]):
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if x0 == x1:  # vertical: it is crossed by the rays from the pixels to its left
                    inside ^= ((y > min(y0, y1)) & (y < max(y0, y1)))[:, None] & (x < x0)[None]
    return inside


def signed_area(ring: np.ndarray) -> float:
    """Positive for a ring that runs counter-clockwise on the screen, where y points down."""
    after = np.roll(ring, -1, axis=0)
    return float((after[:, 0] * ring[:, 1] - ring[:, 0] * after[:, 1]).sum() / 2)


def blobs(seed: int) -> np.ndarray:
    """Noise smoothed a little: several parts, holes, parts inside holes, pixels that touch at corners."""
    noise = np.random.default_rng(seed).random((40, 50))
    smooth = np.mean([np.roll(noise, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
    return smooth > 0.5


@pytest.mark.parametrize("seed", range(6))
def test_filled_back_they_are_the_mask(seed: int):
    bitmap = blobs(seed) if seed < 3 else np.random.default_rng(seed).random((30, 20)) < 0.5
    polygons = rle_to_polygons(encode(bitmap))
    assert len(polygons) > 1
    assert any(polygon["holes"] for polygon in polygons)
    assert np.array_equal(fill(polygons, *bitmap.shape), bitmap)
    exteriors = sum(signed_area(polygon["exterior"]) for polygon in polygons)
    holes = sum(signed_area(hole) for polygon in polygons for hole in polygon["holes"])
    assert exteriors + holes == bitmap.sum()
    for polygon in polygons:
        assert signed_area(polygon["exterior"]) > 0
        assert all(signed_area(hole) < 0 for hole in polygon["holes"])


@pytest.mark.parametrize("seed", range(6))
def test_rings_are_simple(seed: int):
    bitmap = np.random.default_rng(seed).random((30, 20)) < 0.6
    for polygon in rle_to_polygons(encode(bitmap)):
        for ring in (polygon["exterior"], *polygon["holes"]):
            assert max(Counter(map(tuple, ring.tolist())).values()) == 1
            assert ((ring != np.roll(ring, 1, axis=0)).sum(axis=1) == 1).all()  # along the pixel edges


def test_pycocotools_fills_an_exterior_to_nearly_the_same_mask():
    y, x = np.mgrid[:60, :80]
    disc = (x - 40) ** 2 + (y - 30) ** 2 < 25**2
    (polygon,) = rle_to_polygons(encode(disc))
    rles = coco_mask.frPyObjects([polygon["exterior"].ravel().tolist()], 60, 80)
    assert coco_mask.iou(rles, [encode(disc)], [0])[0, 0] > 0.99
    assert decode({"size": [60, 80], "counts": rles[0]["counts"]}).sum() == pytest.approx(disc.sum(), rel=0.01)


def test_on_paper():
    # A 3 x 3 ring of pixels at (2, 1), its middle a hole, and one pixel that touches it only at the corner (5, 4).
    bitmap = np.zeros((6, 7), bool)
    bitmap[1:4, 2:5] = True
    bitmap[2, 3] = False
    bitmap[4, 5] = True
    ring, pixel = rle_to_polygons(encode(bitmap))
    assert sorted(ring["exterior"].tolist()) == [[2, 1], [2, 4], [5, 1], [5, 4]]
    assert [sorted(hole.tolist()) for hole in ring["holes"]] == [[[3, 2], [3, 3], [4, 2], [4, 3]]]
    assert sorted(pixel["exterior"].tolist()) == [[5, 4], [5, 5], [6, 4], [6, 5]]
    assert pixel["holes"] == []


def test_whole_image_one_pixel_and_nothing():
    (whole,) = rle_to_polygons(encode(np.ones((4, 6), bool)))
    assert sorted(whole["exterior"].tolist()) == [[0, 0], [0, 4], [6, 0], [6, 4]]
    (pixel,) = rle_to_polygons(encode(np.ones((1, 1), bool)))
    assert signed_area(pixel["exterior"]) == 1
    assert rle_to_polygons(encode(np.zeros((4, 6), bool))) == []


@pytest.mark.parametrize("seed", range(5))
def test_one_ring_covers_the_same_pixels(seed: int):
    noise = np.random.default_rng(seed).normal(size=(50, 40))
    bitmap = cv2.GaussianBlur(noise, (0, 0), 0.4 + seed) > 0.02  # many parts with holes
    polygons = rle_to_polygons(encode(bitmap))
    ring = one_ring(polygons)
    rles: Any = pycocotools.mask.frPyObjects([ring.ravel().tolist()], 50, 40)
    assert np.array_equal(pycocotools.mask.decode(pycocotools.mask.merge(rles)), bitmap)
    before, after = ring, np.roll(ring, -1, axis=0)
    area = (before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]).sum() / 2
    assert abs(area) == bitmap.sum()


def test_one_ring_of_nothing():
    assert one_ring([]).shape == (0, 2)


@pytest.mark.parametrize("seed", range(4))
def test_no_point_lies_on_the_line_between_its_neighbours(seed: int) -> None:
    bitmap = np.random.default_rng(seed).random((12, 17)) < (0.3, 0.5, 0.7, 0.9)[seed]
    rings = [ring for part in rle_to_polygons(encode(bitmap)) for ring in (part["exterior"], *part["holes"])]
    assert rings
    for ring in rings:
        before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
        assert (before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]).all()
