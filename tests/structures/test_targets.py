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
