"""Regions of an image: named areas inside polygons, in which objects are counted.

P vertices of a ring, (x, y) in pixels; pixel (x, y) covers x..x+1, y..y+1.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Region:
    """What lies inside an odd number of `rings`: one or more polygons with their holes."""

    name: str
    rings: tuple[np.ndarray, ...]
    """(P, 2) float64 each, P >= 3; the first vertex need not be repeated."""

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Whether each of `points` (N, 2) is inside, bool (N,); NaN is not.

        Of two regions with a common edge, a point on it is in one only, but for ends of edges that rounding moves.
        """
        points = np.asarray(points, np.float64)
        by_height = np.argsort(points[:, 1])  # NaN last
        x, y = points[by_height].T
        is_inside = np.zeros(len(points), bool)
        for ring in self.rings:
            ends = np.stack([ring, np.roll(ring, -1, axis=0)], axis=1)
            is_up = ends[:, 0, 1] <= ends[:, 1, 1]  # the same arithmetic for both regions that share the edge
            lower, upper = (np.where(is_up[:, None], ends[:, k], ends[:, 1 - k]) for k in (0, 1))
            first, stop = (np.searchsorted(y, end[:, 1]) for end in (lower, upper))
            for edge in np.flatnonzero(first < stop).tolist():  # points with y0 <= y < y1
                (x0, y0), (x1, y1), beside = lower[edge], upper[edge], slice(first[edge], stop[edge])
                is_inside[beside] ^= x[beside] < x0 + (y[beside] - y0) * ((x1 - x0) / (y1 - y0))
        return is_inside[np.argsort(by_height)]

    @property
    def area_px(self) -> float:
        """Of the first ring of each polygon less the holes; exact where rings do not cross."""
        order = sorted(self.rings, key=lambda ring: -abs(_area(ring)))
        firsts = np.array([ring[0] for ring in order]).reshape(-1, 2)
        depths = np.zeros(len(order), np.int64)
        for i, outer in enumerate(order):
            smaller = firsts[i + 1 :]
            near = i + 1 + np.flatnonzero(((outer.min(0) <= smaller) & (smaller <= outer.max(0))).all(axis=1))
            depths[near] += Region("", (outer,)).contains(firsts[near]) if len(near) else 0
        return float(sum(abs(_area(ring)) * (-1) ** depth for ring, depth in zip(order, depths.tolist(), strict=True)))


def _area(ring: np.ndarray) -> float:
    x, y = (ring - ring[0]).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
