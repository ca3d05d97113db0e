"""From scored regions to detections: every rule on paper, all together against the slow way."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from maskrcnn.model.box_head import DetectionRules, passing, suppress
from tests.oracles.nms import nms as slow_nms


def logits_of(probs: list[list[float]]) -> Tensor:
    """Logits whose softmax is `probs`, the background last."""
    return torch.tensor(probs).log()


class Selected(NamedTuple):
    boxes: Tensor
    labels: Tensor
    scores: Tensor
    image_idx: Tensor
    hit_limit: Tensor


def detections(logits: Tensor, boxes: Tensor, image_idx: Tensor, num_images: int, rules: DetectionRules) -> Selected:
    """What is left of regions with `boxes` (R, K, 4), one for each class."""
    roi, label, score = passing(logits, rules)
    boxes, image = boxes[roi, label], image_idx[roi]
    kept, hit = suppress(boxes, label, score, image, num_images, logits.shape[1] - 1, rules)
    return Selected(boxes[kept], label[kept], score[kept], image[kept], hit)


def select(probs: list[list[float]], boxes: list[list[float]], image_idx: list[int] | None = None, **rules: Any):
    """Detections where every class has the same box."""
    fixed = torch.tensor(boxes)
    image = torch.tensor(image_idx or [0] * len(probs))
    num_images = max(image.tolist()) + 1
    fixed = fixed[:, None].expand(-1, len(probs[0]) - 1, -1)
    return detections(logits_of(probs), fixed, image, num_images, DetectionRules(**{"score_threshold": 0.1} | rules))


def apart(num: int) -> list[list[float]]:
    return [[20.0 * i, 0, 20.0 * i + 10, 10] for i in range(num)]


def test_one_region_may_give_several_classes_or_only_its_best():
    probs = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]  # the second one is background most of all
    every = select(probs, apart(2))
    assert list(zip(every.labels.tolist(), every.boxes[:, 0].tolist(), strict=True)) == [
        (0, 0), (1, 0), (1, 20), (0, 20),
    ]  # fmt: skip
    best = select(probs, apart(2), classes_per_roi="best")
    assert best.labels.tolist() == [0]
    assert best.scores.tolist() == pytest.approx([0.5])


def test_a_score_equal_to_the_threshold():
    # Of two equal logits the softmax is exactly one half.
    logits = torch.zeros(1, 2)
    for inclusive, num in ((False, 0), (True, 1)):
        rules = DetectionRules(score_threshold=0.5, score_inclusive=inclusive)
        found = detections(logits, torch.ones(1, 1, 4), torch.zeros(1).long(), 1, rules)
        assert len(found.boxes) == num


def test_the_background_is_never_a_detection():
    found = select([[0.05, 0.05, 0.9]], apart(1))
    assert len(found.labels) == 0


def test_nms_is_within_a_class_and_an_image():
    same = [[0.0, 0, 10, 10]] * 3
    probs = [[0.8, 0.05, 0.15], [0.7, 0.05, 0.25], [0.05, 0.8, 0.15]]
    assert select(probs, same).labels.tolist() == [0, 1]
    assert select(probs, same).scores.tolist() == pytest.approx([0.8, 0.8])
    assert select(probs, same, image_idx=[0, 1, 1]).labels.tolist() == [0, 1, 0]
    assert len(select(probs, same, nms_threshold=1.0).labels) == 3
    crossed = select([[0.05, 0.8, 0.15], [0.7, 0.05, 0.25]], same[:2], image_idx=[0, 1])
    assert crossed.labels.tolist() == [1, 0]


def test_the_overlap_that_is_allowed():
    boxes = [[0.0, 0, 10, 1], [0, 0, 7, 1], [0, 0, 4, 1]]  # IoU with the first: 0.7 and 0.4, with each other 0.57
    probs = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]
    assert select(probs, boxes, nms_threshold=0.5).scores.tolist() == pytest.approx([0.9, 0.7])
    assert select(probs, boxes, nms_threshold=0.3).scores.tolist() == pytest.approx([0.9])


def test_image_after_image_the_best_first():
    probs = [[0.3, 0.7], [0.9, 0.1], [0.5, 0.5], [0.4, 0.6]]
    found = select(probs, apart(4), image_idx=[1, 1, 0, 2])
    assert found.image_idx.tolist() == [0, 1, 1, 2]
    assert found.scores.tolist() == pytest.approx([0.5, 0.9, 0.3, 0.4])


def test_the_limit_counts_per_image_and_says_that_it_was_hit():
    probs = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.5, 0.5]]
    found = select(probs, apart(5), image_idx=[0, 0, 0, 1, 1], max_detections=2)
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6, 0.5])
    assert found.hit_limit.tolist() == [True, False]


def test_the_smallest_side():
    boxes = [[0.0, 0, 5, 50], [20, 0, 24, 50], [40, 0, 40, 50]]
    probs = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]
    assert select(probs, boxes, min_size=5.0).scores.tolist() == pytest.approx([0.9])
    assert len(select(probs, boxes).scores) == 3


def test_an_image_without_detections_among_others():
    found = select([[0.9, 0.1], [0.01, 0.99], [0.8, 0.2]], apart(3), image_idx=[0, 1, 2])
    assert found.image_idx.tolist() == [0, 2]
    assert found.hit_limit.tolist() == [False] * 3


@pytest.mark.parametrize("num_regions", [0, 3])
def test_nothing(num_regions: int, device: torch.device):
    logits = torch.tensor([[-50.0, -50, 50]], device=device).expand(num_regions, 3)
    image_idx = torch.zeros(num_regions, dtype=torch.int64, device=device)
    found = detections(logits, torch.zeros(num_regions, 2, 4, device=device), image_idx, 2, RULES)
    assert (found.boxes.shape, found.labels.shape, found.scores.shape) == ((0, 4), (0,), (0,))
    assert found.hit_limit.tolist() == [False, False]


RULES = DetectionRules(score_threshold=0.2, nms_threshold=0.4, max_detections=6, min_size=3.0)


@pytest.mark.parametrize("classes_per_roi", ["all", "best"])
def test_equals_the_slow_way(classes_per_roi, device: torch.device):
    num, num_classes, num_images = 60, 3, 2
    logits = torch.randn(num, num_classes + 1) * 2
    corners = torch.rand(num, num_classes, 2) * 30
    boxes = torch.cat([corners, corners + 2 + 20 * torch.rand(num, num_classes, 2)], dim=2)  # of each class
    image_idx = torch.arange(num) % num_images
    rules = DetectionRules(0.2, False, 0.4, 6, classes_per_roi, 3.0)
    fast = detections(logits.to(device), boxes.to(device), image_idx.to(device), num_images, rules)
    assert as_rows(fast) == slow_rows(logits.softmax(1), boxes, image_idx, num_images, rules)


def as_rows(found: Selected) -> list[tuple]:
    boxes = [tuple(round(v, 3) for v in box) for box in found.boxes.tolist()]
    scores = [round(score, 4) for score in found.scores.tolist()]
    return list(zip(found.image_idx.tolist(), found.labels.tolist(), scores, boxes, strict=True))


def slow_rows(probs: Tensor, boxes: Tensor, image_idx: Tensor, num_images: int, rules: DetectionRules) -> list[tuple]:
    rows = []
    for image in range(num_images):
        of_image = []
        for label in range(probs.shape[1] - 1):
            candidates = []
            for roi in (image_idx == image).nonzero().squeeze(1).tolist():
                is_best = int(probs[roi].argmax()) == label
                box = boxes[roi, label]
                is_large = bool((box[2:] - box[:2] >= rules.min_size).all())
                passes = probs[roi, label] > rules.score_threshold and is_large
                if passes and (is_best or rules.classes_per_roi == "all"):
                    candidates.append((float(probs[roi, label]), box.tolist()))
            scores, at = [c[0] for c in candidates], [c[1] for c in candidates]
            kept = slow_nms(at, scores, [0] * len(at), rules.nms_threshold)
            of_image += [(image, label, round(scores[k], 4), tuple(round(v, 3) for v in at[k])) for k in kept]
        rows += sorted(of_image, key=lambda row: -row[2])[: rules.max_detections]
    return rows


def test_pain_28_exclusive_classes_suppress_one_another():
    # One box, sure to be class 0 by 0.6 and class 1 by 0.4; and the same box as class 2 by another region.
    logits = torch.log(torch.tensor([[0.59, 0.4, 0.005, 0.005], [0.005, 0.005, 0.59, 0.4]]))
    box = torch.tensor([[0.0, 0, 10, 10]])

    def labels(groups: tuple[int, ...] | None) -> list[int]:
        rules = DetectionRules(score_threshold=0.1, nms_groups=groups)
        found = detections(logits, box.expand(2, 3, 4), torch.zeros(2).long(), 1, rules)
        return found.labels.tolist()

    assert sorted(labels(None)) == [0, 1, 2]
    assert sorted(labels((0, 0, 2))) == [0, 2]
    assert labels((0, 0, 0)) == [0]
