from dataclasses import replace

import numpy as np
import pytest
import torch

from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets


def three_targets() -> Targets:
    return Targets(
        boxes=torch.tensor([[0.0, 0, 2, 2], [1, 1, 4, 3], [5, 5, 6, 9]]),
        labels=torch.tensor([0, 2, 1]),
        masks=MaskCrops.from_bitmaps([(0, 0, np.ones((2, 2))), (1, 1, np.ones((2, 3))), (5, 5, np.ones((4, 1)))]),
        ignore_boxes=torch.tensor([[0.0, 0, 9, 9]]),
    )


def test_empty():
    targets = Targets.empty()
    assert len(targets) == len(targets.masks) == 0
    assert targets.boxes.shape == targets.ignore_boxes.shape == (0, 4)
    assert len(targets.to("cpu")) == 0


def test_indexing_keeps_crowd_regions():
    kept = three_targets()[torch.tensor([True, False, True])]
    assert kept.labels.tolist() == [0, 1]
    assert kept.boxes.tolist() == [[0, 0, 2, 2], [5, 5, 6, 9]]
    assert kept.masks.windows.tolist() == [[0, 0, 2, 2], [5, 5, 6, 9]]
    assert len(kept.ignore_boxes) == 1


def test_parts_that_disagree_are_refused():
    targets = three_targets()
    with pytest.raises(ValueError, match="shapes"):
        Targets(targets.boxes[:2], targets.labels, targets.masks, targets.ignore_boxes)
    with pytest.raises(ValueError, match="shapes"):
        Targets(targets.boxes, targets.labels, targets.masks[torch.tensor([0])], targets.ignore_boxes)
    with pytest.raises(ValueError, match="int64 labels"):
        Targets(targets.boxes, targets.labels.int(), targets.masks, targets.ignore_boxes)


def with_extra() -> Targets:
    return replace(
        three_targets(), extra={"track": torch.tensor([7, 8, 9]), "points": torch.arange(12.0).view(3, 2, 2)}
    )


def test_extra_fields_follow_their_instances():
    kept = with_extra().to("cpu")[torch.tensor([2, 0])]
    assert kept.extra["track"].tolist() == [9, 7]
    assert kept.extra["points"][:, 0, 0].tolist() == [8, 0]


def test_concatenation():
    one, other = with_extra()[torch.tensor([1])], with_extra()[torch.tensor([True, False, True])]
    both = Targets.concatenate([one, other])
    assert both.labels.tolist() == [2, 0, 1]
    assert both.boxes.tolist() == [[1, 1, 4, 3], [0, 0, 2, 2], [5, 5, 6, 9]]
    assert both.masks.windows.tolist() == [[1, 1, 4, 3], [0, 0, 2, 2], [5, 5, 6, 9]]
    assert both.masks.offsets.tolist() == [0, 6, 10, 14]
    assert both.extra["track"].tolist() == [8, 7, 9]
    assert len(both.ignore_boxes) == 2
    assert len(Targets.concatenate([Targets.empty(), Targets.empty()])) == 0


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="same extra fields"):
        Targets.concatenate([three_targets(), with_extra()])
    with pytest.raises(ValueError, match=r"track of shape \(3, ...\), got \(2,\)"):
        replace(three_targets(), extra={"track": torch.tensor([7, 8])})
    turned = replace(three_targets(), masks=three_targets().masks.moved(np.array([[1.0, 0, 5], [0, 1, 0]])))
    with pytest.raises(ValueError, match="same to_source"):
        Targets.concatenate([three_targets(), turned])
