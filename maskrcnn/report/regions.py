"""Count objects in regions: an object is in a region if the centroid of its mask is."""

from collections.abc import Sequence

import numpy as np

from maskrcnn.report.count import count
from maskrcnn.report.shapes import ellipses
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.regions import Region


def count_in(instances: Instances, regions: Sequence[Region]) -> dict[str, dict[str, int]]:
    """Number of objects of every class in each region, by its name.

    An object is in every region that its centroid is in, in none or several; one without a pixel is in none.
    """
    is_in = membership(centroids(instances), regions)
    return {region.name: count(instances[is_in[:, i]]) for i, region in enumerate(regions)}


def centroids(instances: Instances) -> np.ndarray:
    """(N, 2) float64, x and y of the centre of each mask in px, pixel (0, 0) covering 0..1; NaN for an empty one."""
    found = ellipses(instances.runs)
    return np.stack([found.x, found.y], axis=1) + 0.5


def membership(points: np.ndarray, regions: Sequence[Region]) -> np.ndarray:
    """Which of `points` (N, 2) are in which region, bool (N, R)."""
    found = [region.contains(points) for region in regions]
    return np.stack(found, axis=1) if found else np.zeros((len(points), 0), bool)


def names_of(is_in: np.ndarray, regions: Sequence[Region]) -> list[str]:
    """The names of the regions that each object is in, from `membership`, such as "left; whole"; "" for none."""
    return ["; ".join(regions[i].name for i in np.flatnonzero(row).tolist()) for row in is_in]
