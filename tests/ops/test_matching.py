"""Matching against the oracle and on paper."""

import pytest
import torch

from maskrcnn.ops.matching import match
from tests.oracles.matching import match as slow_match


@pytest.mark.parametrize("keep_best", [False, True])
@pytest.mark.parametrize("num_objects", [0, 1, 5])
@pytest.mark.parametrize("limits", [(0.7, 0.3), (0.5, 0.5)])
def test_equals_the_oracle(keep_best: bool, num_objects: int, limits: tuple[float, float], device: torch.device):
    iou = torch.randint(0, 9, (num_objects, 40)) / 8  # many ties, many zeros, values on the limits
    object_idx, kind = match(iou.to(device), *limits, keep_best)
    assert (object_idx.dtype, kind.dtype) == (torch.int64, torch.int8)
    slow_objects, slow_kinds = slow_match(iou.tolist(), 40, *limits, keep_best)
    assert kind.tolist() == slow_kinds
    # Which of several equally good objects is taken is open; it must be one of the best.
    if num_objects:
        best = iou.gather(0, object_idx.cpu()[None])[0]
        assert best.tolist() == iou.max(dim=0).values.tolist()
    else:
        assert object_idx.tolist() == slow_objects


def test_on_paper():
    iou = torch.tensor(
        [
            [0.70, 0.69, 0.30, 0.29, 0.00, 0.40],
            [0.10, 0.00, 0.00, 0.35, 0.00, 0.45],
        ]
    )
    object_idx, kind = match(iou, 0.7, 0.3, False)
    assert object_idx.tolist()[:4] == [0, 0, 0, 1]
    assert kind.tolist() == [1, -1, -1, -1, 0, -1]  # 0.7 is positive already, 0.3 no longer negative
    # The second object reaches no anchor with 0.7; its best one becomes positive.
    assert match(iou, 0.7, 0.3, True)[1].tolist() == [1, -1, -1, -1, 0, 1]


def test_the_best_of_an_object_may_stand_for_another_one():
    iou = torch.tensor([[0.8, 0.2], [0.4, 0.0]])  # anchor 0 is the best of both objects
    object_idx, kind = match(iou, 0.7, 0.3, True)
    assert (object_idx.tolist()[0], kind.tolist()) == (0, [1, 0])


def test_an_object_without_any_overlap_claims_nothing():
    assert match(torch.zeros(1, 3), 0.7, 0.3, True)[1].tolist() == [0, 0, 0]


def test_all_that_tie_for_an_object_are_positive():
    assert match(torch.tensor([[0.4, 0.4, 0.1]]), 0.7, 0.3, True)[1].tolist() == [1, 1, 0]


def test_no_object_makes_all_negative():
    object_idx, kind = match(torch.zeros(0, 4), 0.7, 0.3, True)
    assert (object_idx.tolist(), kind.tolist()) == ([0] * 4, [0] * 4)
