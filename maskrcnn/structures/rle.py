"""COCO run-length codes {"size": [height, width], "counts": str}: to and from counts, bitmaps, crops.

A mask is read column by column: pixel (x, y) has flat index x * height + y. Counts are the lengths of alternating runs
of 0s and 1s, the first of 0s. N masks; B run boundaries (flat indices where a mask changes value: start, stop, ...).
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

Rle = dict[str, Any]

# A count takes 5 bits a character; 12 characters cover any image below 2^59 pixels and stay inside an int64.
_MAX_CHARACTERS = 12


def compress_counts(counts: np.ndarray, offsets: np.ndarray) -> list[str]:
    """COCO's strings for N masks whose counts lie end to end: mask n has counts[offsets[n]:offsets[n + 1]].

    `counts` is int64, `offsets` int64 (N + 1,). Equal to pycocotools; `decompress_counts` is the inverse.
    """
    # From the fourth count on, COCO stores the difference to the count before last.
    position = np.arange(len(counts)) - np.repeat(offsets[:-1], np.diff(offsets))
    rest = counts.copy()
    rest[2:] -= np.where(position[2:] > 2, counts[:-2], 0)
    characters = np.empty((len(counts), _MAX_CHARACTERS), np.uint8)
    lengths = np.zeros(len(counts), np.int64)
    open_idx = np.arange(len(counts))
    for k in range(_MAX_CHARACTERS):
        low = rest & 31
        rest = rest >> 5
        # Done when what is left is only the sign, and bit 4 already says it.
        more = rest != np.where(low & 16, -1, 0)
        characters[open_idx, k] = low + 32 * more + 48
        lengths[open_idx] = k + 1
        open_idx, rest = open_idx[more], rest[more]
        if not len(open_idx):
            break
    text = characters[np.arange(_MAX_CHARACTERS) < lengths[:, None]].tobytes().decode("ascii")
    ends = np.concatenate(([0], np.cumsum(lengths)))[offsets].tolist()
    return [text[a:b] for a, b in pairwise(ends)]


def decompress_counts(counts: str | bytes) -> np.ndarray:
    """Run lengths (int64) from a COCO string.

    Raises ValueError for a string that is not one.
    """
    raw = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    characters = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if len(characters) == 0:
        return np.zeros(0, np.int64)
    is_last = (characters & 32) == 0
    if characters.min() < 0 or characters.max() > 63 or not is_last[-1]:
        raise ValueError(f"expected a COCO RLE string, got {counts[:40]!r}")
    stops = np.flatnonzero(is_last) + 1
    starts = np.concatenate(([0], stops[:-1]))
    lengths = stops - starts
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError(f"expected a COCO RLE string, got a count of {lengths.max()} characters")
    shifts = 5 * (np.arange(len(characters)) - np.repeat(starts, lengths))
    values = np.add.reduceat((characters & 31) << shifts, starts)
    values -= np.where(characters[stops - 1] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def rle_counts(rle: Mapping[str, Any]) -> np.ndarray:
    """Run lengths (int64) of an RLE whose `counts` is a COCO string (str or bytes) or a plain list of run lengths.

    Raises ValueError when they are negative or do not add up to the image.
    """
    raw = rle["counts"]
    counts = decompress_counts(raw) if isinstance(raw, str | bytes) else np.asarray(raw, np.int64)
    height, width = rle["size"]
    if counts.sum() != height * width or (len(counts) and counts.min() < 0):
        raise ValueError(
            f"expected RLE counts that add up to height x width = {height} x {width} = {height * width}, "
            f"got {len(counts)} counts that add up to {counts.sum()}"
        )
    return counts


def rle_area(rle: Mapping[str, Any]) -> int:
    """Number of pixels set."""
    return int(rle_counts(rle)[1::2].sum())


def rle_window(rle: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """The smallest window x0 y0 x1 y1 (x1, y1 exclusive) that holds every pixel set; 0 0 0 0 for an empty mask."""
    return _tight_window(rle_counts(rle), rle["size"][0])


def decode(rle: Mapping[str, Any]) -> np.ndarray:
    """The whole mask as bool (H, W). `encode` is the inverse."""
    height, width = rle["size"]
    return decode_window(rle, (0, 0, width, height))


def decode_window(rle: Mapping[str, Any], window: tuple[int, int, int, int]) -> np.ndarray:
    """The part of a mask inside `window` x0 y0 x1 y1 (integers, x1 y1 exclusive) as bool (y1 - y0, x1 - x0).

    The cost is that of the runs and the window's pixels, however large the image is. Raises ValueError for a window
    that leaves the image.
    """
    height, width = rle["size"]
    x0, y0, x1, y1 = window
    if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
        raise ValueError(f"expected a window inside the {height} x {width} image, got x0 y0 x1 y1 = {tuple(window)}")
    return _fill(rle_counts(rle), height, window)


def crop(rle: Mapping[str, Any]) -> tuple[int, int, np.ndarray]:
    """(x0, y0, bool bitmap (h, w)) only as large as the object; for an empty mask x0, y0, h and w are 0."""
    counts, height = rle_counts(rle), rle["size"][0]
    window = _tight_window(counts, height)
    return window[0], window[1], _fill(counts, height, window)


def encode(bitmap: np.ndarray) -> Rle:
    """RLE of a mask (H, W), bool or 0/1; identical to pycocotools."""
    height, width = bitmap.shape
    return encode_window(bitmap, 0, 0, (height, width))


def encode_window(bitmap: np.ndarray, x0: int, y0: int, image_size: tuple[int, int]) -> Rle:
    """RLE of an image (height, width) that is empty but for `bitmap` (h, w) with its top left pixel at (x0, y0).

    The inverse of `crop`. Raises ValueError for a bitmap that leaves the image.
    """
    (h, w), (height, width) = bitmap.shape, image_size
    if not (0 <= x0 <= width - w and 0 <= y0 <= height - h):
        raise ValueError(f"expected a bitmap inside the {height} x {width} image, got {h} x {w} pixels at ({x0}, {y0})")
    framed = np.zeros((w, h + 2), bool)  # a row of 0s above and below closes every run inside its own column
    framed[:, 1:-1] = bitmap.T
    x, y = np.nonzero(framed[:, 1:] != framed[:, :-1])
    return boundaries_to_rles((x + x0) * height + y + y0, np.array([len(x)]), image_size)[0]


def boundaries_to_rles(boundaries: np.ndarray, num_boundaries: np.ndarray, image_size: tuple[int, int]) -> list[Rle]:
    """RLEs of N masks whose run boundaries lie end to end.

    `boundaries` int64 (B,): start, stop, start, stop, ... flat indices, rising within a mask; runs may touch (stop =
    next start), as they do where an object fills a column to the bottom and goes on at the top of the next.
    `num_boundaries` int64 (N,): how many of them belong to each mask, an even number. `image_size` is (height, width).
    """
    height, width = image_size
    num_masks = len(num_boundaries)
    owner = np.repeat(np.arange(num_masks), num_boundaries)
    touches = (boundaries[1:-1:2] == boundaries[2::2]) & (owner[1:-1:2] == owner[2::2])
    keep = boundaries < height * width  # the last run needs no stop where it reaches the last pixel
    keep[1:-1:2] &= ~touches
    keep[2::2] &= ~touches
    boundaries, owner = boundaries[keep], owner[keep]

    offsets = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=num_masks) + 1)))
    stops = np.full(offsets[-1], height * width, np.int64)
    is_inner = np.ones(offsets[-1], bool)
    is_inner[offsets[1:] - 1] = False
    stops[is_inner] = boundaries
    starts = np.concatenate(([0], stops))[:-1]
    starts[offsets[:-1]] = 0
    return [{"size": [height, width], "counts": text} for text in compress_counts(stops - starts, offsets)]


def fill_columns(counts: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bool bitmap (height, width) whose columns, end to end, have runs of these lengths: 0s, 1s, 0s, ...

    The lengths add up to height * width.
    """
    flat = np.repeat(np.arange(len(counts), dtype=np.uint8) & 1, counts)
    if not flat.size:
        return np.zeros((height, width), bool)
    return cv2.transpose(flat.reshape(width, height)).view(bool)  # numpy's own copy of a `.T` takes five times as long


def _tight_window(counts: np.ndarray, height: int) -> tuple[int, int, int, int]:
    ends = np.cumsum(counts)
    starts, stops = ends[:-1:2], ends[1::2]
    is_run = stops > starts
    if not is_run.any():
        return 0, 0, 0, 0
    first_x, first_y = np.divmod(starts[is_run], height)
    last_x, last_y = np.divmod(stops[is_run] - 1, height)
    x0, x1 = int(first_x[0]), int(last_x[-1]) + 1
    if (first_x != last_x).any():  # a run that goes on into the next column touches both the bottom and the top
        return x0, 0, x1, height
    return x0, int(first_y.min()), x1, int(last_y.max()) + 1


def _fill(counts: np.ndarray, height: int, window: tuple[int, int, int, int]) -> np.ndarray:
    x0, y0, x1, y1 = window
    h, w = y1 - y0, x1 - x0
    # How many of the window's pixels come before each run's end, in the same column by column order.
    x, y = np.divmod(np.cumsum(counts), height)
    ends = np.clip((x - x0) * h + np.clip(y - y0, 0, h), 0, h * w)
    return fill_columns(np.diff(ends, prepend=0), h, w)
