"""Suppression against the greedy oracle, on paper, and its laws."""

import pytest
import torch
from torch import Tensor

from maskrcnn.ops import nms as module
from maskrcnn.ops.nms import grouped_nms
from tests.conftest import AsCuda
from tests.oracles.nms import nms as slow_nms


def random_case(num: int, num_groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Overlapping boxes on both sides of the origin, scores that are all different."""
    corners = torch.rand(num, 2) * 60 - 30
    boxes = torch.cat([corners, corners + 2 + torch.rand(num, 2) * 20], dim=1)
    return boxes, torch.randperm(num) / num, torch.randint(0, num_groups, (num,))


@pytest.mark.parametrize("num_groups", [1, 4])
@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.7, 1.0])
def test_equals_the_oracle(num_groups: int, iou_threshold: float, device: torch.device):
    boxes, scores, groups = random_case(80, num_groups)
    kept = grouped_nms(boxes.to(device), scores.to(device), groups.to(device), iou_threshold)
    assert kept.tolist() == slow_nms(boxes.tolist(), scores.tolist(), groups.tolist(), iou_threshold)


@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 1.0])
def test_the_way_of_a_gpu_is_one_call_and_keeps_the_same(iou_threshold: float, monkeypatch: pytest.MonkeyPatch):
    boxes, scores, groups = random_case(80, 4)
    calls: list[int] = []

    def counted(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        calls.append(len(boxes))
        return one_call(boxes, scores, iou_threshold)

    one_call = module.nms
    monkeypatch.setattr(module, "nms", counted)
    expected = grouped_nms(boxes, scores, groups, iou_threshold).tolist()
    assert calls == groups.bincount().tolist()  # small groups on their own, since the time is quadratic
    calls.clear()
    assert grouped_nms(boxes.as_subclass(AsCuda), scores, groups, iou_threshold).tolist() == expected
    assert calls == [80]


def test_the_way_of_a_gpu_moves_groups_wholly_apart():
    # Small boxes, whose coordinates are below 1 so that the least extent counts, and boxes across the origin; a group's
    # neighbours in number come nearest.
    for corners in ([0.1, 0.1, 0.6, 0.6], [-40.0, -40, 40, 40], [30.0, 30, 40, 40]):
        boxes = torch.tensor([corners]).expand(3, 4).as_subclass(AsCuda)
        kept = grouped_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 1, 2]), 0.0)
        assert kept.tolist() == [0, 1, 2]
    assert grouped_nms(torch.zeros(0, 4).as_subclass(AsCuda), torch.zeros(0), torch.zeros(0).long(), 0.5).shape == (0,)


def test_on_paper(device: torch.device):
    # IoU of a and b: 8 / 12 = 0.67; of b and c: 8 / 12; of a and c: 6 / 14 = 0.43.
    boxes = torch.tensor([[0.0, 0, 10, 1], [2, 0, 12, 1], [4, 0, 14, 1]], device=device)
    scores, groups = torch.tensor([0.9, 0.8, 0.7], device=device), torch.zeros(3, dtype=torch.int64, device=device)
    assert grouped_nms(boxes, scores, groups, 0.5).tolist() == [0, 2]  # b goes, so it cannot take c along
    assert grouped_nms(boxes, scores, groups, 0.4).tolist() == [0]
    assert grouped_nms(boxes, scores, groups, 0.7).tolist() == [0, 1, 2]


def test_an_overlap_equal_to_the_threshold_stays(device: torch.device):
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]], device=device)  # IoU exactly one half
    scores, groups = torch.tensor([0.9, 0.8], device=device), torch.zeros(2, dtype=torch.int64, device=device)
    assert grouped_nms(boxes, scores, groups, 0.5).tolist() == [0, 1]


def test_is_idempotent(device: torch.device):
    boxes, scores, groups = (part.to(device) for part in random_case(80, 3))
    kept = grouped_nms(boxes, scores, groups, 0.4)
    again = grouped_nms(boxes[kept], scores[kept], groups[kept], 0.4)
    assert again.tolist() == list(range(len(kept)))


def test_groups_do_not_touch_one_another(device: torch.device):
    boxes, scores, groups = (part.to(device) for part in random_case(80, 3))
    alone = []
    for group in range(3):
        members = (groups == group).nonzero().squeeze(1)
        alone += members[grouped_nms(boxes[members], scores[members], groups[members], 0.4)].tolist()
    assert sorted(grouped_nms(boxes, scores, groups, 0.4).tolist()) == sorted(alone)
    same_box = boxes[:1].expand(5, 4)
    five_groups = torch.tensor([7, 0, 3, 1, 900], device=device)
    assert grouped_nms(same_box, scores[:5], five_groups, 0.0).tolist() == scores[:5].argsort(descending=True).tolist()


def test_equal_scores_keep_their_order():
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1], [9, 9, 10, 10]])
    kept = grouped_nms(boxes, torch.ones(4), torch.tensor([2, 0, 2, 1]), 0.5)
    assert kept.tolist() == [0, 1, 3]


def test_nothing(device: torch.device):
    no_idx = torch.zeros(0, dtype=torch.int64, device=device)
    assert grouped_nms(torch.zeros(0, 4, device=device), torch.zeros(0, device=device), no_idx, 0.5).shape == (0,)
