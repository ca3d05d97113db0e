"""One thing found twice is reported, whatever it was called; neighbours are not."""

import pytest
import torch

from maskrcnn.report import double_counts as module
from maskrcnn.report.double_counts import double_counts
from maskrcnn.structures.instances import Instances


def instances(boxes: list[list[float]], labels: list[int]) -> Instances:
    return Instances(
        image_size=(60, 80),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        mask_probs=torch.ones(len(boxes), 28, 28),
        class_names=("cat", "dog"),
    )


def test_pain_28_two_classes_on_one_object_are_reported():
    # The first two differ by one column of twenty: IoU 0.95. The third overlaps them by half: 10 / 30 columns.
    found = instances([[10, 10, 30, 30], [11, 10, 30, 30], [20, 10, 40, 30]], [0, 1, 0])
    assert double_counts(found) == [(0, 1)]


def test_neighbours_and_nothing():
    assert double_counts(instances([[10, 10, 30, 30], [30, 10, 50, 30]], [0, 0])) == []
    assert double_counts(instances([], [])) == []


def test_boxes_compared_in_parts_give_the_same_pairs(monkeypatch: pytest.MonkeyPatch):
    rng = torch.Generator().manual_seed(0)
    corner = torch.randint(0, 12, (40, 2), generator=rng)
    found = instances(torch.cat((corner, corner + 20), dim=1).tolist(), [0] * 40)
    at_once = double_counts(found)
    assert at_once == sorted(at_once)
    assert len(at_once) > 40
    for pairs_at_once in (1, 40 * 7, 40 * 40):
        monkeypatch.setattr(module, "_PAIRS_AT_ONCE", pairs_at_once)
        assert double_counts(found) == at_once
