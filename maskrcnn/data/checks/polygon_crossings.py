"""Where an outline crosses itself, and how much that matters (P points)."""

import numpy as np

MIN_SHARE = 0.02
"""A loop counts if it is this much of the outline's area: hand-drawn outlines have knots that no mask shows."""
MIN_AREA_PX = 4.0
"""... and at least this large."""
_MAX_PAIRS = 500_000  # pairs of edges that are compared at once, for memory


def is_self_crossing(points: np.ndarray) -> bool:
    """Whether a closed outline, (P, 2) float64, crosses itself so that a loop of some size is cut off.

    Both parts have to be of some size: the loop between the two visits of the crossing, and the rest. Edges that only
    touch or run over one another, as where a hole is joined to the outside by a bridge, are no crossing.
    """
    ends = np.roll(points, -1, axis=0)
    # Doubled area of the outline, edge by edge: sums[j] - sums[i] belongs to the edges i .. j - 1.
    sums = np.concatenate([[0.0], np.cumsum(_cross(points, ends))])
    rows = max(1, _MAX_PAIRS // len(points))
    for start in range(0, len(points), rows):
        i, j = _crossing_edges(points, ends, start, start + rows)
        if not len(i):
            continue
        crossing = _meeting_points(points[i], ends[i], points[j], ends[j])
        loop = np.abs(_cross(crossing, ends[i]) + sums[j] - sums[i + 1] + _cross(points[j], crossing))
        rest = np.abs(_cross(crossing, ends[j]) + sums[-1] - sums[j + 1] + sums[i] + _cross(points[i], crossing))
        if (np.minimum(loop, rest) > np.maximum(2 * MIN_AREA_PX, MIN_SHARE * (loop + rest))).any():
            return True
    return False


def _crossing_edges(points: np.ndarray, ends: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of edges i < j, with i in start .. stop - 1, that properly cross."""
    a, b = points[start:stop, None], ends[start:stop, None]  # (rows, 1, 2)
    c, d = points[None], ends[None]  # (1, P, 2)
    straddles = _side(a, b, c) * _side(a, b, d) < 0
    straddles &= _side(c, d, a) * _side(c, d, b) < 0
    i, j = np.nonzero(straddles)
    i += start
    return i[i < j], j[i < j]


def _meeting_points(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    share = _cross(c - a, d - c) / _cross(b - a, d - c)
    return a + share[:, None] * (b - a)


def _side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The sign says on which side of the line a-b a point is."""
    return np.sign(_cross(b - a, point - a))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
