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
        is_inside = np.zeros(len(points), bool)
        x, y = np.asarray(points, np.float64).T
        for ring in self.rings:
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if y0 == y1:
                    continue
                if y0 > y1:  # the same arithmetic for both regions that share the edge
                    x0, y0, x1, y1 = x1, y1, x0, y0
                crosses = (y0 <= y) & (y < y1)
                is_inside ^= crosses & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
        return is_inside

    @property
    def area_px(self) -> float:
        """Of the first ring of each polygon less the holes; exact where rings do not cross."""
        order = sorted(self.rings, key=lambda ring: -abs(_area(ring)))
        total = 0.0
        for i, ring in enumerate(order):
            depth = sum(bool(Region("", (outer,)).contains(ring[:1])[0]) for outer in order[:i])
            total += abs(_area(ring)) * (-1) ** depth
        return total


def _area(ring: np.ndarray) -> float:
    x, y = (ring - ring[0]).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
