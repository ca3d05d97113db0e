"""Shape and intensity of masks from their runs of pixels, as scikit-image's `regionprops` defines them.

N masks, R runs, C channels. Coordinates are those of pixel centres, (0, 0) being the first.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from maskrcnn.structures.runs import Runs

_PIXELS_AT_ONCE = 1 << 21
"""Pixels whose numbers are gathered together: some 50 MB of working memory."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_NEIGHBOURS = np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]], np.float32)
_STEPS = np.zeros(50)
_STEPS[[5, 7, 15, 17, 25, 27]] = 1
_STEPS[[21, 33]] = math.sqrt(2)
_STEPS[[13, 23]] = (1 + math.sqrt(2)) / 2


class Ellipses(NamedTuple):
    """Centres of masks, and the ellipses with the same second moments; float64 (N,) each, NaN for an empty mask."""

    x: np.ndarray
    y: np.ndarray
    major: np.ndarray
    """Length of the whole axis in px; 0 for one pixel, whose extent does not count."""
    minor: np.ndarray
    orientation: np.ndarray
    """Radians, -pi/2 to pi/2, from the y axis to the major axis, counter-clockwise on the screen."""
    eccentricity: np.ndarray
    """0 (circle) to 1 (line)."""


def ellipses(runs: Runs) -> Ellipses:
    """Centre and axes of each mask."""
    x, top, length, owner = _of_runs(runs)
    windows = runs.windows()
    # Within the window, so that the sums stay whole numbers that a float64 holds exactly.
    x, top = x - windows[owner, 0], top - windows[owner, 1]
    sum_y = length * (2 * top + length - 1) // 2
    sum_yy = length * top**2 + top * length * (length - 1) + (length - 1) * length * (2 * length - 1) // 6
    terms = (length, length * x, sum_y, length * x**2, x * sum_y, sum_yy)
    n, s_x, s_y, s_xx, s_xy, s_yy = (np.bincount(owner, term, len(windows)) for term in terms)
    with np.errstate(divide="ignore", invalid="ignore"):
        var_x, var_y, cov = (n * s_xx - s_x**2) / n**2, (n * s_yy - s_y**2) / n**2, (n * s_xy - s_x * s_y) / n**2
        spread = np.hypot(var_x - var_y, 2 * cov)
        large, small = (var_x + var_y + spread) / 2, np.maximum((var_x + var_y - spread) / 2, 0)
        # The smaller root by difference loses digits for a thin object; by the product of the roots it does not.
        small = np.where(large > 0, np.minimum(small, np.maximum(var_x * var_y - cov**2, 0) / large), small)
        eccentricity = np.where(large > 0, np.sqrt(1 - small / large), 0 * large)
        turn = np.where(
            var_x == var_y, np.where(cov > 0, np.pi / 4, -np.pi / 4), np.arctan2(2 * cov, var_y - var_x) / 2
        )
        return Ellipses(
            x=windows[:, 0] + s_x / n,
            y=windows[:, 1] + s_y / n,
            major=4 * np.sqrt(large),
            minor=4 * np.sqrt(small),
            orientation=turn + 0 * n / n,
            eccentricity=eccentricity,
        )


def perimeters(runs: Runs) -> np.ndarray:
    """Length of the line through the centres of each mask's border pixels, those of holes too, in px; float64 (N,).

    Steps along and across pixels count 1 and sqrt(2) by the pattern of their neighbours; one pixel has 0, an empty mask
    NaN.

    Paper: K. Benkrid, D. Crookes, "Design and FPGA Implementation of a Perimeter Estimator", 2000.
    """
    found = np.full(len(runs.num_runs), np.nan)
    for i, (_, _, bitmap) in enumerate(runs.crops()):
        if bitmap.size:
            mask = bitmap.view(np.uint8)
            border = mask - cv2.erode(mask, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
            patterns = cv2.filter2D(border, cv2.CV_8U, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
            found[i] = np.bincount(patterns.ravel(), minlength=50) @ _STEPS
    return found


def convex_areas(runs: Runs) -> np.ndarray:
    """Pixels whose centres lie in the convex hull of the middles of all pixel edges of a mask; float64 (N,)."""
    x, top, length, owner = _of_runs(runs)
    num = len(runs.num_runs)
    if not len(x):
        return np.full(num, np.nan)
    windows = runs.windows()
    x, top = x - windows[owner, 0], top - windows[owner, 1]
    # Only the first and last pixel of a column can be at the hull.
    first = np.flatnonzero(np.concatenate(([True], (np.diff(owner) != 0) | (np.diff(x) != 0))))
    low, high = np.minimum.reduceat(top, first), np.maximum.reduceat(top + length - 1, first)
    x, owner = 2 * x[first], owner[first]  # in half pixels all are whole numbers
    low, high = 2 * low, 2 * high
    corners = np.stack(
        [
            np.stack([x, x - 1, x + 1, x - 1, x + 1, x], axis=1),
            np.stack([low - 1, low, low, high, high, high + 1], axis=1),
        ],
        axis=2,
    ).astype(np.int32)  # (columns, 6, 2)
    filled, starts = np.unique(owner, return_index=True)
    hulls = [cv2.convexHull(part.reshape(-1, 1, 2))[:, 0] for part in np.split(corners, starts[1:])]
    ends = np.concatenate([np.roll(hull, -1, axis=0) for hull in hulls]).astype(np.int64)
    begins = np.concatenate(hulls).astype(np.int64)
    owner = np.repeat(filled, [len(hull) for hull in hulls])
    # OpenCV goes round so that edges to the right have the smaller y.
    is_top = ends[:, 0] > begins[:, 0]
    left, right = np.where(is_top[:, None], begins, ends), np.where(is_top[:, None], ends, begins)
    # Columns of pixel centres, the even x, under each edge: left <= x < right, so that none counts twice.
    begin, count = -(-left[:, 0] // 2), -(-right[:, 0] // 2) - -(-left[:, 0] // 2)
    edge = np.repeat(np.arange(len(count)), count)
    at = 2 * (np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + begin[edge])
    width = 2 * (right - left)[edge, 0]
    height = left[edge, 1] * width // 2 + (at - left[edge, 0]) * (right - left)[edge, 1]  # times width / 2
    rows = np.where(is_top[edge], 1 + height // -width, height // width)  # ceil for the first row, floor for the last
    found = np.bincount(owner[edge], rows, num)
    return np.where(runs.num_runs > 0, found, np.nan)


class Intensities(NamedTuple):
    """Of the pixels of each mask in each channel, (N, C); 0 for an empty mask."""

    low: np.ndarray
    high: np.ndarray
    total: np.ndarray
    """int64, uint64 or float64."""


def intensities(runs: Runs, image: np.ndarray) -> Intensities:
    """Smallest, largest and sum of the numbers of `image` (H, W, C), any numeric type, under each mask."""
    sums = {"u": np.uint64, "i": np.int64}.get(image.dtype.kind, np.float64)
    x, top, length, owner = _of_runs(runs)
    num, channels = len(runs.num_runs), image.shape[2]
    low, high = (np.zeros((len(x), channels), image.dtype) for _ in range(2))
    total = np.zeros((len(x), channels), sums)
    chunk = np.cumsum(length) // _PIXELS_AT_ONCE
    for part in np.split(np.arange(len(x)), np.flatnonzero(np.diff(chunk)) + 1):
        if len(part):
            ends = np.cumsum(length[part])
            offsets = ends - length[part]
            rows = np.arange(ends[-1]) + np.repeat(top[part] - offsets, length[part])
            numbers = image[rows, np.repeat(x[part], length[part])]  # (pixels, C)
            low[part] = np.minimum.reduceat(numbers, offsets)
            high[part] = np.maximum.reduceat(numbers, offsets)
            total[part] = np.add.reduceat(numbers, offsets, dtype=sums)
    result = Intensities(*(np.zeros((num, channels), kind.dtype) for kind in (low, high, total)))
    if len(x):
        filled, first = np.unique(owner, return_index=True)
        result.low[filled] = np.minimum.reduceat(low, first)
        result.high[filled] = np.maximum.reduceat(high, first)
        result.total[filled] = np.add.reduceat(total, first)
    return result


def _of_runs(runs: Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each run the column, the first row, the length, and the number of its mask; int64 (R,)."""
    starts, stops = runs.boundaries[::2].astype(np.int64), runs.boundaries[1::2].astype(np.int64)
    x, top = np.divmod(starts, max(runs.image_size[0], 1))
    return x, top, stops - starts, np.repeat(np.arange(len(runs.num_runs)), runs.num_runs)
