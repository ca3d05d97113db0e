"""Matching of masks against the slow way, on random rectangles that overlap a lot."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.evaluation.mask_matches import IOU_THRESHOLDS, MaskMatches, match_masks
from maskrcnn.structures.instances import Instances
from tests.oracles.mask_matches import count_matches

SIZE = (24, 40)
NUM_CLASSES = 2
NUM_IMAGES = 3


def random_boxes(rng: np.random.Generator, num: int) -> np.ndarray:
    x, y = rng.integers(0, 24, num), rng.integers(0, 10, num)
    width, height = rng.integers(6, 13, (2, num))
    return np.stack([x, y, x + width, y + height], axis=1)


def bitmap(box: np.ndarray) -> np.ndarray:
    image = np.zeros(SIZE, bool)
    image[box[1] : box[3], box[0] : box[2]] = True
    return image


def random_truth(rng: np.random.Generator, image_id: int) -> GroundTruth:
    boxes = random_boxes(rng, 12)
    rles: list[Any] = [coco_mask.encode(np.asfortranarray(bitmap(box).astype(np.uint8))) for box in boxes]
    return GroundTruth(
        image_id=image_id,
        file_name=f"{image_id}.png",
        image_size=SIZE,
        labels=rng.integers(0, NUM_CLASSES, 12),
        rles=tuple(rles),
        boxes_xywh=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64),
        areas=np.zeros(12),
        is_crowd=rng.random(12) < 0.2,
        names=tuple(map(str, range(12))),
    )


def random_instances(rng: np.random.Generator) -> Instances:
    return Instances(
        image_size=SIZE,
        boxes=torch.tensor(random_boxes(rng, 30), dtype=torch.float32),
        labels=torch.tensor(rng.integers(0, NUM_CLASSES, 30)),
        scores=torch.tensor(rng.permutation(100)[:30] / 100, dtype=torch.float32),
        mask_probs=torch.ones(30, 28, 28),
        class_names=("date", "fig"),
    )


def random_set(seed: int) -> tuple[list[GroundTruth], list[Instances], MaskMatches]:
    rng = np.random.default_rng(seed)
    truths = [random_truth(rng, i) for i in range(NUM_IMAGES)]
    results = [random_instances(rng) for _ in range(NUM_IMAGES)]
    return truths, results, match_masks(truths, results, NUM_CLASSES)


@pytest.mark.parametrize("seed", range(3))
def test_matching_once_equals_matching_at_every_threshold(seed: int) -> None:
    truths, results, matches = random_set(seed)
    for score_threshold in (0.0, 0.35, 0.7, 1.0):
        tally = matches.tally(score_threshold)
        for i, (truth, instances) in enumerate(zip(truths, results, strict=True)):
            scores, labels = instances.scores.numpy(), instances.labels.numpy()
            for t, iou_threshold in enumerate(IOU_THRESHOLDS):
                expected = np.zeros(3, int)
                for label in range(NUM_CLASSES):
                    true = [
                        (bool(truth.is_crowd[g]), coco_mask.decode(truth.rles[g]).astype(bool))  # pyright: ignore
                        for g in np.flatnonzero(truth.labels == label)
                    ]
                    predictions = [
                        (float(scores[d]), bitmap(instances.boxes[d].int().numpy()))
                        for d in np.flatnonzero(labels == label)
                    ]
                    objects, crowds = (
                        [m for is_crowd, m in true if not is_crowd],
                        [m for is_crowd, m in true if is_crowd],
                    )
                    counts = count_matches(
                        objects, crowds, predictions, iou_threshold, np.float32(score_threshold).item()
                    )
                    expected += counts
                    if t == 0:
                        assert tally.predicted[i, label] == counts[0] + counts[1]
                        assert tally.true[i, label] == len(objects)
                got = tally.true_positives[t, i], tally.false_positives[t, i], tally.false_negatives[t, i]
                assert got == tuple(expected)


def test_images_of_a_set_are_matched_like_alone() -> None:
    truths, results, matches = random_set(0)
    keep = np.array([True, False, True])
    part = matches.of_images(keep).tally(0.3)
    alone = match_masks(truths[::2], results[::2], NUM_CLASSES).tally(0.3)
    for name in ("true_positives", "false_positives", "false_negatives", "predicted", "true"):
        np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))


def test_no_images() -> None:
    tally = match_masks([], [], NUM_CLASSES).tally(0.5)
    assert tally.true_positives.shape == (len(IOU_THRESHOLDS), 0)
    assert tally.predicted.shape == (0, NUM_CLASSES)


def test_a_class_without_an_object_has_no_hit() -> None:
    rng = np.random.default_rng(0)
    truth, instances = random_truth(rng, 1), random_instances(rng)
    nothing = replace(truth, labels=np.zeros(12, np.int64), is_crowd=np.zeros(12, bool))
    matches = match_masks([nothing], [replace(instances, labels=torch.ones(30, dtype=torch.int64))], NUM_CLASSES)
    assert matches.is_hit.shape == (len(IOU_THRESHOLDS), 30)
    assert not matches.is_hit.any()
    assert matches.num_true.tolist() == [[12, 0]]
    assert matches.tally(0.0).predicted.tolist() == [[0, 30]]
