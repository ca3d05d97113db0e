"""The forms that are made from runs are those of the bitmaps that the runs were read from."""

import numpy as np
import pytest

from maskrcnn.structures.rle import encode
from maskrcnn.structures.runs import Runs


def read_runs(bitmaps: np.ndarray, dtype: type = np.int32) -> Runs:
    """Pixel by pixel, column by column."""
    _, height, width = bitmaps.shape
    boundaries, num_runs = [], []
    for bitmap in bitmaps:
        own = []
        for x in range(width):
            for y in range(height):
                if bitmap[y, x] and (y == 0 or not bitmap[y - 1, x]):
                    own.append(x * height + y)
                if bitmap[y, x] and (y == height - 1 or not bitmap[y + 1, x]):
                    own.append(x * height + y + 1)
        boundaries += own
        num_runs.append(len(own) // 2)
    return Runs(np.array(boundaries, dtype), np.array(num_runs, np.int64), (height, width))


def many_bitmaps(height: int, width: int) -> np.ndarray:
    """Noise of every density, full columns, single pixels in the corners; an empty one first, last and in between."""
    rng = np.random.default_rng(0)
    noise = [rng.random((height, width)) < share for share in (0.02, 0.3, 0.7, 1.0)]
    columns = np.zeros((height, width), bool)
    columns[:, width // 3 : 2 * width // 3 + 1] = True
    corners = np.zeros((2, height, width), bool)
    corners[0, 0, 0] = corners[1, -1, -1] = True
    empty = np.zeros((height, width), bool)
    return np.stack([empty, *noise[:2], empty, *noise[2:], columns, *corners, empty])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (5, 8), (23, 17)])
def test_every_form_is_that_of_the_bitmaps(size: tuple[int, int]):
    bitmaps = many_bitmaps(*size)
    runs = read_runs(bitmaps)
    assert runs.rles() == [encode(bitmap) for bitmap in bitmaps]
    assert runs.areas().tolist() == bitmaps.sum((1, 2)).tolist()
    for bitmap, window, (x0, y0, crop) in zip(bitmaps, runs.windows().tolist(), runs.crops(), strict=True):
        y, x = np.nonzero(bitmap)
        tight = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else [0, 0, 0, 0]
        assert window == tight == [x0, y0, x0 + crop.shape[1], y0 + crop.shape[0]]
        assert crop.dtype == bool
        assert np.array_equal(crop, bitmap[y0 : tight[3], x0 : tight[2]])


def test_no_masks_at_all():
    runs = read_runs(np.zeros((0, 5, 8), bool))
    assert runs.rles() == runs.crops() == []
    assert (runs.areas().shape, runs.windows().shape) == ((0,), (0, 4))
    assert runs.areas().dtype == np.int64


def test_pictures_beyond_32_bits():
    # 60000 x 60000 pixels: one pixel in the last column but one, two in the last.
    boundaries = np.array([59_998 * 60_000 + 7, 59_998 * 60_000 + 8, 59_999 * 60_000 + 5, 59_999 * 60_000 + 7])
    runs = Runs(boundaries, np.array([2]), (60_000, 60_000))
    assert runs.areas().tolist() == [3]
    x0, y0, crop = runs.crops()[0]
    assert (x0, y0) == (59_998, 5)
    assert crop.tolist() == [[False, True], [False, True], [True, False]]


@pytest.mark.parametrize("rows", [[2, 0, 2], [], [False, True] * 3])
def test_some_of_the_masks(rows: list):
    bitmaps = many_bitmaps(5, 8)[:6]
    chosen = np.array(rows) if rows else np.zeros(0, int)
    some = read_runs(bitmaps)[chosen]
    assert some.rles() == [encode(bitmap) for bitmap in bitmaps[chosen]]
    assert some.areas().tolist() == bitmaps[chosen].sum((1, 2)).tolist()


def test_masks_moved_into_a_larger_image():
    bitmaps = many_bitmaps(5, 8)
    large = np.zeros((len(bitmaps), 12, 20), bool)
    large[:, 4:9, 7:15] = bitmaps
    moved = read_runs(bitmaps).moved(7, 4, (12, 20))
    assert moved.rles() == [encode(bitmap) for bitmap in large]
    assert moved.image_size == (12, 20)
    with pytest.raises(ValueError, match=r"got 5 x 8 at \(13, 4\)"):
        read_runs(bitmaps).moved(13, 4, (12, 20))


def test_crops_become_runs_again():
    runs = read_runs(many_bitmaps(5, 8))
    assert Runs.of_crops(runs.crops(), (5, 8)).rles() == runs.rles()
    assert Runs.of_crops([], (5, 8)).rles() == []


def test_parts_end_to_end():
    bitmaps = many_bitmaps(5, 8)
    parts = [read_runs(bitmaps[:2], np.int32), read_runs(bitmaps[2:2]), read_runs(bitmaps[2:], np.int64)]
    assert Runs.concatenate(parts).rles() == [encode(bitmap) for bitmap in bitmaps]
