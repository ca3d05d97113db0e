"""Touching objects told apart by flooding from markers (Meyer, Signal Processing 38, 1994, as OpenCV has it).

H W the image; N objects.
"""

import cv2
import numpy as np

MIN_DEPTH = 0.65
"""Two objects are told apart where the way from one middle to the other narrows to less than this part of the smaller
one's radius: round pieces that touch do, and one object with a wavy outline does not."""
MIN_RADIUS_PX = 2.0
"""What is nowhere farther from its edge than this is no object for itself beside another."""
_NEXT_LEVEL = 0.9  # of the one before, at which the distance is cut: how exactly a saddle's height is known


def watershed(mask: np.ndarray, markers: np.ndarray | None = None, relief: np.ndarray | None = None) -> np.ndarray:
    """Number int32 (H, W) of the object 1..N at each pixel of `mask`, uint8 0 or 1; 0 outside of it.

    `markers`, integers (H, W), has a number for some pixels of each object and 0 elsewhere; None takes
    `distance_markers`. The flood goes from all markers at the same pace, or first where `relief`, RGB uint8 (H, W, 3),
    changes least. Every pixel of the mask that is connected with a marker gets the number of one; a part of it without
    any marker is an object of its own.

    Raises:
        ValueError: markers of another shape, or negative ones.
    """
    seeds = distance_markers(mask) if markers is None else _expect_markers(markers, mask.shape)
    seeds = np.where(mask > 0, seeds, 0).astype(np.int32)
    num_parts, components = cv2.connectedComponents(mask, connectivity=8)
    parts = np.asarray(components, np.int32)
    is_lone = np.ones(num_parts, bool)
    is_lone[parts[seeds > 0]] = is_lone[0] = False
    outside = int(seeds.max(initial=0)) + num_parts + 1
    seeds = np.where(is_lone[parts], outside - num_parts + parts, seeds)
    flooded = np.where(mask > 0, seeds, outside).astype(np.int32)
    if mask.any():
        ground = np.zeros((*mask.shape, 3), np.uint8) if relief is None else relief
        # OpenCV floods first where neighbours differ least: a wall around the mask keeps the flood from outside out.
        cv2.watershed(np.where(mask[..., None] > 0, ground, np.where(ground < 128, 255, 0)).astype(np.uint8), flooded)
        flooded[(flooded == outside) | (flooded < 0)] = 0
    return _renumbered(_grown(flooded, mask))


def distance_markers(mask: np.ndarray) -> np.ndarray:
    """A number int32 (H, W) in the middle of every object in `mask`, uint8 0 or 1; 0 elsewhere.

    The distance to the edge of the mask is cut at ever lower levels. A region that comes up without a peak in it has a
    new one; where two meet, the lower one goes unless it is deep enough there (`MIN_DEPTH`). A marker is the largest
    region that has its peak and no other.
    """
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    numbers = np.zeros(mask.shape, np.int32)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    num = 0
    for part in range(1, count):  # in windows of their own: most are small
        x, y, w, h = stats[part, :4].tolist()
        window = np.s_[y : y + h, x : x + w]
        own = _markers_in(np.where(parts[window] == part, distance[window], 0))
        numbers[window] += np.where(own > 0, own + num, 0)
        num += int(own.max(initial=0))
    return numbers


def _markers_in(distance: np.ndarray) -> np.ndarray:
    """Markers 1..n, int32 (h, w), of one connected part by its distances (h, w)."""
    y, x = np.zeros(0, np.int64), np.zeros(0, np.int64)
    heights, names, num = np.zeros(0), np.zeros(0, np.int64), 0
    numbers = np.zeros(distance.shape, np.int32)
    level = float(distance.max(initial=0))
    while level >= MIN_RADIUS_PX:
        count, components, stats, _ = cv2.connectedComponentsWithStats((distance >= level).astype(np.uint8))
        regions = np.asarray(components, np.int32)
        is_new = np.ones(count, bool)
        is_new[0] = is_new[regions[y, x]] = False
        tops = [_top_of(number, stats[number], regions, distance) for number in np.flatnonzero(is_new).tolist()]
        found = np.array(tops, np.float64).reshape(-1, 3)
        y, x = (np.concatenate([old, found[:, k].astype(np.int64)]) for k, old in enumerate((y, x)))
        heights = np.concatenate([heights, found[:, 2]])
        names = np.concatenate([names, np.arange(num + 1, num + len(found) + 1)])
        num += len(found)
        # The peaks of one region in a row, the highest first.
        order = np.lexsort((-heights, regions[y, x]))
        is_highest = np.diff(regions[y, x][order], prepend=-1) != 0
        order = order[is_highest | (level < MIN_DEPTH * heights[order])]
        y, x, heights, names = y[order], x[order], heights[order], names[order]
        is_known = np.zeros(num + 1, bool)
        is_known[names] = True
        numbers[~is_known[numbers]] = 0
        peaks_of = np.bincount(regions[y, x], minlength=count)
        owner = np.zeros(count, np.int32)
        owner[regions[y, x]] = names
        owner[peaks_of != 1] = 0
        numbers = np.where(owner[regions] > 0, owner[regions], numbers)
        level *= _NEXT_LEVEL
    return _renumbered(numbers)


def _top_of(number: int, stats: np.ndarray, regions: np.ndarray, distance: np.ndarray) -> tuple[int, int, float]:
    """(y, x, height) of the highest pixel of a region."""
    x0, y0, w, h = stats[:4].tolist()
    window = np.s_[y0 : y0 + h, x0 : x0 + w]
    own = np.where(regions[window] == number, distance[window], -1)
    y, x = divmod(int(own.argmax()), w)
    return y0 + y, x0 + x, float(own[y, x])


def _expect_markers(markers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if markers.shape != shape or not np.issubdtype(markers.dtype, np.integer):
        raise ValueError(
            f"markers: expected integers of shape {shape}, as the image, got {markers.shape} {markers.dtype}"
        )
    if markers.min(initial=0) < 0:
        raise ValueError(f"markers: expected 0 where there is none and numbers from 1 on, got {int(markers.min())}")
    return markers


def _grown(numbers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A neighbour's number for pixels of the mask that the flood left: lines between objects, the image's border."""
    while True:
        is_open = (numbers == 0) & (mask > 0)
        grown = cv2.dilate(numbers.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
        if not (is_open & (grown > 0)).any():
            return np.where(mask > 0, numbers, 0)
        numbers = np.where(is_open, grown, numbers)


def _renumbered(numbers: np.ndarray) -> np.ndarray:
    """The same objects with the numbers 1..N, in the order of the old ones."""
    known = np.unique(numbers)
    table = np.zeros(int(known.max(initial=0)) + 1, np.int32)
    table[known[known > 0]] = np.arange(1, (known > 0).sum() + 1)
    return table[numbers]
