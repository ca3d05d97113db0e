"""Run-length codes against pycocotools, and their laws."""

from typing import Any

import numpy as np
import pycocotools.mask
import pytest

from maskrcnn.structures import rle as codes

coco_mask: Any = pycocotools.mask  # its stubs know less than it accepts
SHAPES = [(1, 1), (1, 7), (7, 1), (5, 8), (40, 30)]


def bitmaps(height: int, width: int) -> list[np.ndarray]:
    """Empty, full, sparse, dense, one blob, full columns, corners."""
    rng = np.random.default_rng(height * 100 + width)
    blob = np.zeros((height, width), bool)
    blob[height // 4 : height // 2 + 1, width // 3 : width // 2 + 1] = True
    columns = np.zeros((height, width), bool)
    columns[:, width // 3 :] = True
    corners = np.zeros((height, width), bool)
    corners[[0, -1], [0, -1]] = True
    noise = [rng.random((height, width)) < p for p in (0.05, 0.5, 0.95)]
    return [np.zeros((height, width), bool), np.ones((height, width), bool), blob, columns, corners, *noise]


def coco_encode(bitmap: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


@pytest.mark.parametrize("shape", SHAPES)
def test_encode_equals_pycocotools_and_decode_inverts_it(shape: tuple[int, int]):
    for bitmap in bitmaps(*shape):
        rle = codes.encode(bitmap)
        assert rle == coco_encode(bitmap)
        assert np.array_equal(codes.decode(rle), bitmap)
        assert codes.rle_area(rle) == bitmap.sum() == coco_mask.area(rle)


@pytest.mark.parametrize("shape", SHAPES)
def test_decode_window_equals_slicing(shape: tuple[int, int]):
    height, width = shape
    rng = np.random.default_rng(0)
    for bitmap in bitmaps(height, width):
        rle = codes.encode(bitmap)
        for _ in range(10):
            x0, x1 = sorted(rng.integers(0, width + 1, 2).tolist())
            y0, y1 = sorted(rng.integers(0, height + 1, 2).tolist())
            assert np.array_equal(codes.decode_window(rle, (x0, y0, x1, y1)), bitmap[y0:y1, x0:x1])


@pytest.mark.parametrize("shape", SHAPES)
def test_crop_is_tight_and_encode_window_inverts_it(shape: tuple[int, int]):
    for bitmap in bitmaps(*shape):
        rle = codes.encode(bitmap)
        x0, y0, crop = codes.crop(rle)
        assert crop.sum() == bitmap.sum()
        if bitmap.any():
            y, x = np.nonzero(bitmap)
            assert (x0, y0, crop.shape) == (x.min(), y.min(), (np.ptp(y) + 1, np.ptp(x) + 1))
            assert codes.rle_window(rle) == (x0, y0, x0 + crop.shape[1], y0 + crop.shape[0])
        else:
            assert (x0, y0, crop.shape) == (0, 0, (0, 0))
        assert codes.encode_window(crop, x0, y0, shape) == rle


def test_counts_on_paper():
    # 2 x 3 pixels, read by columns: 0 1 | 1 1 | 0 0 -> one 0, three 1s, two 0s.
    bitmap = np.array([[0, 1, 0], [1, 1, 0]], bool)
    assert codes.rle_counts(codes.encode(bitmap)).tolist() == [1, 3, 2]
    # Each count below 16 is one character, chr(48 + count); the fourth and later are differences to the last but one.
    assert codes.encode(bitmap)["counts"] == "132"


def test_compress_and_decompress_are_inverse_for_long_and_falling_counts():
    rng = np.random.default_rng(1)
    groups = [rng.integers(0, 2 ** rng.integers(1, 31), size) for size in (1, 2, 3, 4, 50, 0, 200)]
    offsets = np.concatenate(([0], np.cumsum([len(group) for group in groups])))
    texts = codes.compress_counts(np.concatenate(groups), offsets)
    for text, counts in zip(texts, groups, strict=True):
        assert codes.decompress_counts(text).tolist() == counts.tolist()
        assert codes.decompress_counts(text.encode()).tolist() == counts.tolist()


def test_compress_equals_pycocotools_on_large_images():
    for counts in ([5_000_000, 1, 3_999_999, 20_000_000, 7, 1], [0, 30_000_000], [30_000_000]):
        size = [10_000, sum(counts) // 10_000 + 1]
        counts = [*counts, size[0] * size[1] - sum(counts)] if len(counts) % 2 == 0 else counts
        size = size if sum(counts) == size[0] * size[1] else [sum(counts), 1]
        text = codes.compress_counts(np.array(counts), np.array([0, len(counts)]))[0]
        assert text == coco_mask.frPyObjects({"size": size, "counts": counts}, *size)["counts"].decode()


def test_counts_as_a_list_or_bytes():
    bitmap = bitmaps(5, 8)[2]
    rle = codes.encode(bitmap)
    for counts in (codes.rle_counts(rle).tolist(), rle["counts"].encode()):
        assert np.array_equal(codes.decode({"size": [5, 8], "counts": counts}), bitmap)
    # Some writers split runs by runs of length 0.
    split = {"size": [2, 3], "counts": [0, 0, 1, 2, 0, 1, 2, 0]}
    assert codes.decode(split).tolist() == [[False, True, False], [True, True, False]]
    assert codes.rle_window(split) == (0, 0, 2, 2)


def test_no_masks():
    assert codes.boundaries_to_rles(np.zeros(0, np.int64), np.zeros(0, np.int64), (5, 8)) == []


@pytest.mark.parametrize("counts", ["P", "1\n2", "3", [1, 2], [-1, 7], "é"])
def test_broken_counts_are_named(counts: str | list[int]):
    with pytest.raises(ValueError, match="expected"):
        codes.decode({"size": [2, 3], "counts": counts})


def test_windows_outside_the_image_are_refused():
    rle = codes.encode(np.ones((5, 8), bool))
    for window in ((-1, 0, 3, 3), (0, 0, 9, 5), (3, 0, 2, 5)):
        with pytest.raises(ValueError, match="5 x 8"):
            codes.decode_window(rle, window)
    with pytest.raises(ValueError, match="5 x 8"):
        codes.encode_window(np.ones((2, 2), bool), 7, 0, (5, 8))
