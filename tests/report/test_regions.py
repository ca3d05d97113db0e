"""Counts in regions: an object is where its centroid is."""

import numpy as np
import torch

from maskrcnn.report.measure import measure
from maskrcnn.report.regions import centroids, count_in, membership, names_of
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.regions import Region

NAMES = ("nut", "bolt")


def rectangle(name: str, x0: float, y0: float, x1: float, y1: float) -> Region:
    return Region(name, (np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]),))


def objects() -> Instances:
    """Squares around (10, 10), (30, 10) and (30, 30); and one of no pixel."""
    centres = torch.tensor([[10.0, 10], [30, 10], [30, 30]])
    boxes = torch.cat([torch.cat([centres - 4, centres + 4], 1), torch.tensor([[5.0, 5, 5, 5]])])
    labels = torch.tensor([0, 1, 1, 0])
    return Instances((40, 40), boxes, labels, torch.ones(4), torch.ones(4, 28, 28), NAMES)


def test_by_hand() -> None:
    left, all_, empty = rectangle("left", 0, 0, 20, 40), rectangle("all", 0, 0, 40, 40), rectangle("far", 50, 0, 60, 9)
    counts = count_in(objects(), [left, all_, empty])
    assert counts == {"left": {"nut": 1, "bolt": 0}, "all": {"nut": 1, "bolt": 2}, "far": {"nut": 0, "bolt": 0}}
    is_in = membership(centroids(objects()), [left, all_, empty])
    assert names_of(is_in, [left, all_, empty]) == ["left; all", "all", "all", ""]


def test_an_object_over_the_edge_is_where_its_centroid_is() -> None:
    assert count_in(objects(), [rectangle("a", 0, 0, 11, 40)])["a"]["nut"] == 1
    assert count_in(objects(), [rectangle("a", 0, 0, 9, 40)])["a"]["nut"] == 0


def test_centroids_are_those_that_are_measured() -> None:
    table = measure(objects())
    expected = np.stack([table["centroid_x"], table["centroid_y"]], axis=1)
    assert np.array_equal(centroids(objects()), expected, equal_nan=True)


def test_nothing() -> None:
    assert count_in(objects(), []) == {}
    nothing = Instances.empty((40, 40), NAMES)
    assert count_in(nothing, [rectangle("a", 0, 0, 9, 9)]) == {"a": {"nut": 0, "bolt": 0}}
    assert membership(np.zeros((3, 2)), []).shape == (3, 0)
