"""One thing found twice is reported, whatever it was called; neighbours are not."""

import pytest
import torch

from maskrcnn.report import double_counts as module
from maskrcnn.report.double_counts import double_counts
from maskrcnn.structures.boxes import box_iou
from maskrcnn.structures.instances import Instances


def instances(boxes: list[list[float]], labels: list[int], mask_probs: torch.Tensor | None = None) -> Instances:
    return Instances(
        image_size=(60, 80),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        mask_probs=torch.ones(len(boxes), 28, 28) if mask_probs is None else mask_probs,
        class_names=("cat", "dog"),
    )


def test_pain_28_two_classes_on_one_object_are_reported():
    # The first two differ by one column of twenty: IoU 0.95. The third overlaps them by half: 10 / 30 columns.
    found = instances([[10, 10, 30, 30], [11, 10, 30, 30], [20, 10, 40, 30]], [0, 1, 0])
    assert double_counts(found) == [(0, 1)]


def test_the_pixels_decide_where_the_boxes_differ():
    # The second has the pixels of the first, 28 x 28, and a whisker of about 28 x 2 that makes its box twice as wide:
    # the boxes' IoU is 0.5, that of the masks above 0.9.
    whiskered = torch.zeros(28, 28)
    whiskered[:, :14] = 1
    whiskered[13:15] = 1
    found = instances([[0, 0, 28, 28], [0, 0, 56, 28]], [0, 0], torch.stack([torch.ones(28, 28), whiskered]))
    assert double_counts(found) == [(0, 1)]
    assert double_counts(found, 0.95) == []


def test_a_threshold_is_one_to_be_passed():
    # 20 x 20 px of which 10 x 20 are shared: IoU 200 / 400, exactly one half.
    found = instances([[10, 10, 30, 30], [10, 10, 30, 20]], [0, 0])
    assert double_counts(found, 0.5) == []
    assert double_counts(found, 0.49) == [(0, 1)]


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
    rows: list[int] = []

    def counted(boxes_a: torch.Tensor, boxes_b: torch.Tensor) -> torch.Tensor:
        rows.append(len(boxes_a))
        return box_iou(boxes_a, boxes_b)

    monkeypatch.setattr(module, "box_iou", counted)
    for pairs_at_once, expected in ((1, [1] * 40), (40 * 7, [7] * 5 + [5]), (40 * 40, [40])):
        monkeypatch.setattr(module, "_PAIRS_AT_ONCE", pairs_at_once)
        rows.clear()
        assert double_counts(found) == at_once
        assert rows == expected
