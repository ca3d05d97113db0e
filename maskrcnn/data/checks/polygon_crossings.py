"""Where an outline crosses itself, and how much that matters (P points)."""

from collections.abc import Iterator

import numpy as np

MIN_SHARE = 0.02
"""A loop counts if it is this much of the outline's area: hand-drawn outlines have knots that no mask shows."""
MIN_AREA_PX = 4.0
"""... and at least this large."""
_MAX_PAIRS = 500_000  # pairs of edges that are compared at once, for memory
_MAX_PAIRS_IN_ALL = 5_000_000  # and of one outline, for time: about a second


def is_self_crossing(points: np.ndarray) -> bool:
    """Whether a closed outline, (P, 2) float64, crosses itself so that a loop of some size is cut off.

    Both parts have to be of some size: the loop between the two visits of the crossing, and the rest. Edges that only
    touch or run over one another, as where a hole is joined to the outside by a bridge, are no crossing.
    """
    ends = np.roll(points, -1, axis=0)
    # Doubled area of the outline, edge by edge: sums[j] - sums[i] belongs to the edges i .. j - 1.
    sums = np.concatenate([[0.0], np.cumsum(_cross(points, ends))])
    for i, j in _pairs(points, ends):
        is_crossing = _side(points[i], ends[i], points[j]) * _side(points[i], ends[i], ends[j]) < 0
        is_crossing &= _side(points[j], ends[j], points[i]) * _side(points[j], ends[j], ends[i]) < 0
        i, j = i[is_crossing], j[is_crossing]
        if not len(i):
            continue
        crossing = _meeting_points(points[i], ends[i], points[j], ends[j])
        loop = np.abs(_cross(crossing, ends[i]) + sums[j] - sums[i + 1] + _cross(points[j], crossing))
        rest = np.abs(_cross(crossing, ends[j]) + sums[-1] - sums[j + 1] + sums[i] + _cross(points[i], crossing))
        if (np.minimum(loop, rest) > np.maximum(2 * MIN_AREA_PX, MIN_SHARE * (loop + rest))).any():
            return True
    return False


def _pairs(points: np.ndarray, ends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of edges i < j that overlap along x, in portions; of an outline with very many only the first."""
    left, right = np.minimum(points[:, 0], ends[:, 0]), np.maximum(points[:, 0], ends[:, 0])
    order = np.argsort(left, kind="stable")
    # In this order an edge meets those after it that begin before it ends.
    num_after = np.searchsorted(left[order], right[order], side="right") - np.arange(len(order)) - 1
    total = np.concatenate([[0], np.cumsum(num_after)])
    for low in range(0, min(int(total[-1]), _MAX_PAIRS_IN_ALL), _MAX_PAIRS):
        pair = np.arange(low, min(low + _MAX_PAIRS, int(total[-1])))
        first = np.searchsorted(total, pair, side="right") - 1
        a, b = order[first], order[first + 1 + pair - total[first]]
        yield np.minimum(a, b), np.maximum(a, b)


def _meeting_points(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    share = _cross(c - a, d - c) / _cross(b - a, d - c)
    return a + share[:, None] * (b - a)


def _side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The sign says on which side of the line a-b a point is."""
    return np.sign(_cross(b - a, point - a))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
