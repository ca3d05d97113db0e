"""Which regions train the heads: on paper, and with nothing."""

import numpy as np
import pytest
import torch

from maskrcnn.model.roi_targets import RoITargets, SamplingRules, sample_rois
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

NUM_CLASSES = 3


def targets_of(boxes: list[list[float]], labels: list[int], ignore: list[list[float]] | None = None) -> Targets:
    return Targets(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        MaskCrops.from_bitmaps([(0, 0, np.ones((1, 1)))] * len(boxes)),
        torch.tensor(ignore or [], dtype=torch.float32).reshape(-1, 4),
    )


def sample(proposals: list[list[float]], targets: Targets, per_image: int = 64, fraction: float = 0.5) -> RoITargets:
    boxes = torch.tensor(proposals, dtype=torch.float32).reshape(-1, 4)
    return sample_rois(boxes, targets, NUM_CLASSES, SamplingRules(0.5, per_image, fraction))


OBJECTS = targets_of([[0, 0, 10, 10], [50, 50, 70, 60]], [2, 0])
PROPOSALS = [
    [0.0, 0, 10, 5],  # IoU with the first object: exactly one half
    [0, 0, 10, 4.9],  # a little less
    [50, 50, 70, 61],  # nearly the second object
    [80, 80, 90, 90],
]


def test_on_paper():
    rois = sample(PROPOSALS, OBJECTS)
    num = len(rois.object_idx)
    rows = zip(rois.boxes[:num].tolist(), rois.labels[:num].tolist(), rois.object_idx.tolist(), strict=True)
    found = {tuple(box): (label, i) for box, label, i in rows}
    # The objects' own boxes are among the candidates.
    assert found == {
        (0, 0, 10, 5): (2, 0),
        (0, 0, 10, 10): (2, 0),
        (50, 50, 70, 61): (0, 1),
        (50, 50, 70, 60): (0, 1),
    }
    assert rois.labels[num:].tolist() == [NUM_CLASSES] * 2
    assert sorted(rois.boxes[num:, 0].tolist()) == [0, 80]
    assert (rois.labels.dtype, rois.object_idx.dtype) == (torch.int64, torch.int64)


@pytest.mark.parametrize(("per_image", "fraction", "numbers"), [(4, 0.25, (1, 2)), (3, 0.34, (1, 2)), (2, 1.0, (2, 0))])
def test_numbers(per_image: int, fraction: float, numbers: tuple[int, int]):
    rois = sample(PROPOSALS, OBJECTS, per_image, fraction)
    assert (len(rois.object_idx), len(rois.boxes) - len(rois.object_idx)) == numbers


def test_without_a_good_proposal_the_objects_stand_for_themselves():
    rois = sample([[80.0, 80, 90, 90]], OBJECTS)
    assert sorted(rois.boxes[:2].tolist()) == OBJECTS.boxes.tolist()
    assert sorted(rois.labels.tolist()) == [0, 2, NUM_CLASSES]


def test_no_proposal():
    rois = sample([], OBJECTS)
    assert sorted(rois.boxes.tolist()) == OBJECTS.boxes.tolist()


def test_no_object():
    rois = sample(PROPOSALS, targets_of([], []))
    assert rois.labels.tolist() == [NUM_CLASSES] * 4
    assert len(rois.object_idx) == 0


def test_neither_object_nor_proposal():
    rois = sample([], targets_of([], []))
    assert (rois.boxes.shape, rois.labels.shape, rois.object_idx.shape) == ((0, 4), (0,), (0,))


def test_regions_in_a_crowd_are_no_background():
    crowd = targets_of([[0, 0, 10, 10]], [1], ignore=[[75, 75, 95, 95]])
    rois = sample(PROPOSALS, crowd)
    assert [80, 80, 90, 90] not in rois.boxes.tolist()
    assert [50, 50, 70, 61] in rois.boxes.tolist()


def test_nothing_here_has_a_gradient():
    proposals = torch.tensor(PROPOSALS, requires_grad=True)
    rois = sample_rois(proposals, OBJECTS, NUM_CLASSES, SamplingRules(per_image=8))
    assert not rois.boxes.requires_grad
