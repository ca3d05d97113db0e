"""Rims of masks against erosion of full images."""

from typing import Any

import cv2
import numpy as np
import pytest

from maskrcnn.evaluation.boundary import boundary_ious, rim, rim_width
from maskrcnn.structures.rle import decode, encode
from tests.oracles.boundary import boundary_iou_reference, boundary_reference


def blob(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A mask of one or more parts, with holes, that may leave the image; sometimes empty or tiny or all of it."""
    kind = rng.integers(0, 8)
    mask = np.zeros(size, bool)
    if kind == 0:
        return mask
    if kind == 1:
        return ~mask
    if kind == 2:
        mask[rng.integers(0, size[0]), rng.integers(0, size[1])] = True
        return mask
    noise = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), float(rng.uniform(1, 12)))
    y, x = np.indices(size)
    centre, radius = rng.uniform(0, 1, 2) * size, rng.uniform(0.1, 0.9) * min(size)
    return (noise > np.quantile(noise, rng.uniform(0.1, 0.8))) & (np.hypot(y - centre[0], x - centre[1]) < radius)


def full(window: tuple[int, int, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    x0, y0, bitmap = window
    image = np.zeros(size, bool)
    image[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]] = bitmap
    return image


@pytest.mark.parametrize("size", [(5, 7), (40, 64), (97, 50), (230, 310)])
def test_rims_equal_erosion_of_the_full_image(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size[0])
    for _ in range(40):
        mask = blob(rng, size)
        np.testing.assert_array_equal(full(rim(encode(mask)), size), boundary_reference(mask))


def test_ious_equal_those_of_full_images() -> None:
    rng, size = np.random.default_rng(0), (80, 100)
    masks, objects = [blob(rng, size) for _ in range(25)], [blob(rng, size) for _ in range(20)]
    pairs = np.argwhere(rng.random((25, 20)) < 0.7)
    rles: list[Any] = [[encode(mask) for mask in group] for group in (masks, objects)]
    expected = [boundary_iou_reference(masks[d], objects[g]) for d, g in pairs]
    np.testing.assert_array_equal(boundary_ious(rles[0], rles[1], pairs), expected)
    assert len(boundary_ious(rles[0], rles[1], pairs[:0])) == 0


def test_on_paper() -> None:
    # The diagonal of 100 x 100 is 141.4, so the rim is 3 wide: of a square of 20 it leaves 14 x 14 out.
    size = (100, 100)
    a, b = np.zeros(size, bool), np.zeros(size, bool)
    a[40:60, 40:60] = b[40:60, 43:63] = True
    assert rim_width(size) == 3
    assert np.count_nonzero(rim(encode(a))[2]) == 400 - 196
    # Moved by 3: columns 43..60 of both 3-high bars above and below meet; of the upright bars, 3 wide, only that at the
    # right of `a` meets nothing but the inside of `b`, and so does that at the left of `b`.
    both = 2 * 3 * 17
    assert boundary_ious([encode(a)], [encode(b)], np.array([[0, 0]])) == pytest.approx([both / (2 * 204 - both)])
    # Of a square in the corner the sides along the image's edge are rim as well.
    corner = np.zeros(size, bool)
    corner[:20, :20] = True
    x0, y0, bitmap = rim(encode(corner))
    assert (x0, y0, np.count_nonzero(bitmap)) == (0, 0, 204)
    assert decode(encode(corner))[0, 0]


def test_at_least_one_pixel() -> None:
    assert rim_width((3, 4)) == 1
