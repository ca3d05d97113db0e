"""Errors of single objects against loops over bitmaps, and the cases that give them their names."""

from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrcnn.evaluation.confusion import Confusion, confusion
from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.evaluation.mask_matches import match_masks
from maskrcnn.evaluation.object_errors import ObjectErrors, object_errors
from maskrcnn.structures.instances import Instances
from tests.oracles.object_errors import Mask, judge

SIZE = (30, 60)
NUM_CLASSES = 3

Box = tuple[int, int, int, int]
Object = tuple[Box, int]
A, B = (0, 0, 10, 10), (10, 0, 20, 10)


def truth_of(objects: list[Object], crowds: tuple[int, ...] = ()) -> GroundTruth:
    boxes = np.array([box for box, _ in objects], np.float64).reshape(-1, 4)
    rles: list[Any] = [coco_mask.encode(np.asfortranarray(bitmap(box).astype(np.uint8))) for box, _ in objects]
    return GroundTruth(
        image_id=1,
        file_name="1.png",
        image_size=SIZE,
        labels=np.array([label for _, label in objects], np.int64),
        rles=tuple(rles),
        boxes_xywh=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1),
        areas=np.zeros(len(objects)),
        is_crowd=np.isin(np.arange(len(objects)), crowds),
        names=tuple(str(g + 1) for g in range(len(objects))),
    )


def found(predictions: list[Object], scores: list[float] | None = None) -> Instances:
    """The first is the surest, where no scores are given."""
    if scores is None:
        scores = [0.9 - i / 100 for i in range(len(predictions))]
    return Instances(
        image_size=SIZE,
        boxes=torch.tensor([box for box, _ in predictions], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for _, label in predictions], dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        mask_probs=torch.ones(len(predictions), 28, 28),
        class_names=("date", "fig", "nut"),
    )


def bitmap(box: Box) -> np.ndarray:
    image = np.zeros(SIZE, bool)
    image[box[1] : box[3], box[0] : box[2]] = True
    return image


def errors_of(objects: list[Object], predictions: list[Object], crowds: tuple[int, ...] = ()) -> ObjectErrors:
    return object_errors(truth_of(objects, crowds), found(predictions))


def test_found_missed_and_spurious() -> None:
    errors = errors_of([(A, 0), (B, 0)], [(A, 0), ((40, 0, 50, 10), 0)])
    assert errors.hit.tolist() == [0, -1]
    assert errors.is_missed.tolist() == [False, True]
    assert errors.is_spurious.tolist() == [False, True]


def test_double() -> None:
    # The same twice: the surer one finds it. Half of it (IoU 0.5) is no double but a part.
    errors = errors_of([(A, 0)], [(A, 0), ((0, 0, 10, 9), 0)])
    assert (errors.hit.tolist(), errors.double_of.tolist()) == ([0, -1], [-1, 0])
    assert not errors.is_spurious.any()
    assert not errors.is_split.any()
    half = errors_of([(A, 0)], [(A, 0), ((0, 0, 10, 5), 0)])
    assert half.is_spurious.tolist() == [False, True]
    assert half.part_of.tolist() == [0, 0]
    assert half.is_split.tolist() == [True]


def test_merged() -> None:
    # One prediction for two equal objects: IoU 0.5 with each, so both are missed.
    both = (0, 0, 20, 10)
    errors = errors_of([(A, 0), (B, 0)], [(both, 0)])
    assert errors.is_merged.tolist() == [True]
    assert errors.is_missed.tolist() == [True, True]
    # The second object is small, so the first is found.
    errors = errors_of([(A, 0), ((10, 0, 14, 10), 0)], [((0, 0, 14, 10), 0)])
    assert (errors.hit.tolist(), errors.is_merged.tolist()) == ([0], [True])
    # Found by a prediction of its own, an object inside another one is no error; nor is one of another class.
    inner = (2, 2, 5, 5)
    assert not errors_of([(A, 0), (inner, 0)], [(A, 0), (inner, 0)]).is_merged.any()
    assert not errors_of([(A, 0), (inner, 1)], [(A, 0)]).is_merged.any()


def test_split() -> None:
    left, right = (0, 0, 5, 10), (5, 0, 10, 10)
    errors = errors_of([(A, 0)], [(left, 0), (right, 0)])
    assert (errors.is_split.tolist(), errors.part_of.tolist()) == ([True], [0, 0])
    assert errors.is_missed.all()
    assert errors.is_spurious.all()
    inner = (2, 2, 5, 5)
    assert not errors_of([(A, 0), (inner, 0)], [(A, 0), (inner, 0)]).is_split.any()


def test_the_right_class_comes_first() -> None:
    # The surer prediction calls the fig a date; the other one finds it, and the first counts it twice.
    errors = errors_of([(A, 1)], [(A, 0), (A, 1)])
    assert (errors.hit.tolist(), errors.double_of.tolist()) == ([-1, 0], [0, -1])
    counts = confusion([errors], NUM_CLASSES)
    assert (counts.counts[1], counts.double, counts.double_of_another_class) == ((0, 1, 0), (0, 1, 0), 1)
    alone = errors_of([(A, 1)], [(A, 0)])
    assert alone.is_confused.tolist() == [True]
    assert confusion([alone], NUM_CLASSES).counts[1] == (1, 0, 0)


def test_in_a_crowd() -> None:
    errors = errors_of([((0, 0, 30, 30), 0)], [(A, 0), (A, 1)], crowds=(0,))
    assert errors.is_ignored.tolist() == [True, False]
    assert errors.is_spurious.tolist() == [False, True]
    assert not errors.is_missed.any()
    # In a crowd of its own class it is not asked whether it finds an object of another one.
    errors = errors_of([((0, 0, 30, 30), 0), (A, 1)], [(A, 0)], crowds=(0,))
    assert (errors.is_ignored.tolist(), errors.is_missed.tolist()) == ([True], [False, True])


@pytest.mark.parametrize(("objects", "predictions"), [([], []), ([(A, 0)], []), ([], [(A, 0)])])
def test_nothing(objects: list[Object], predictions: list[Object]) -> None:
    errors = errors_of(objects, predictions)
    assert errors.is_missed.sum() == len(objects)
    assert errors.is_spurious.sum() == len(predictions)
    assert not errors.is_confused.any()
    assert not errors.is_merged.any()
    assert not errors.is_split.any()
    counts = confusion([errors], NUM_CLASSES)
    assert (sum(counts.missed), sum(counts.spurious)) == (len(objects), len(predictions))


def random_objects(rng: np.random.Generator, num: int) -> list[Object]:
    x, y = rng.integers(0, 44, num), rng.integers(0, 14, num)
    width, height = rng.integers(3, 16, (2, num))
    boxes = zip(x.tolist(), y.tolist(), (x + width).tolist(), (y + height).tolist(), strict=True)
    return list(zip(boxes, rng.integers(0, NUM_CLASSES, num).tolist(), strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_equals_loops_over_bitmaps_and_the_mask_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Up to a few classes: the more there are, the rarer merging and splitting becomes.
    objects, predictions = random_objects(rng, 14), random_objects(rng, 30)
    predictions += [(box, label) for box, label in objects if rng.random() < 0.5]
    if seed % 3:
        objects, predictions = [(box, 0) for box, _ in objects], [(box, 0) for box, _ in predictions]
    crowds = tuple(np.flatnonzero(rng.random(len(objects)) < 0.15).tolist())
    scores = (rng.permutation(100)[: len(predictions)] / 100).tolist()
    truth, instances = truth_of(objects, crowds), found(predictions, scores)
    errors = object_errors(truth, instances)

    true = [Mask(bitmap(box), label, is_crowd=g in crowds) for g, (box, label) in enumerate(objects)]
    expected = judge(true, [Mask(bitmap(b), k, s) for (b, k), s in zip(predictions, scores, strict=True)])
    for d, (verdict, g) in enumerate(expected.predictions):
        assert errors.hit[d] == (g if verdict == "hit" else -1)
        assert errors.double_of[d] == (g if verdict == "double" else -1)
        assert errors.is_ignored[d] == (verdict == "ignored")
        assert errors.is_spurious[d] == (verdict == "spurious")
    assert set(np.flatnonzero(errors.is_missed)) == expected.missed
    assert set(np.flatnonzero(errors.is_merged)) == expected.merged
    assert set(np.flatnonzero(errors.is_split)) == set(expected.split)
    for d, g in enumerate(errors.part_of):
        assert (g >= 0) == any(d in parts for parts in expected.split.values())
        assert g < 0 or d in expected.split[g]

    # The numbers elsewhere in a report are the same ones.
    counts = confusion([errors], NUM_CLASSES)
    tally = match_masks([truth], [instances], NUM_CLASSES).tally(0.0)
    right = sum(counts.counts[k][k] for k in range(NUM_CLASSES))
    assert right == tally.true_positives[0].sum()
    assert total(counts) - right == tally.false_positives[0].sum()
    assert sum(counts.missed) + sum(map(sum, counts.counts)) - right == tally.false_negatives[0].sum()
    assert total(counts) == tally.predicted.sum()


def total(counts: Confusion) -> int:
    """Predictions that are judged."""
    return sum(map(sum, counts.counts)) + sum(counts.double) + sum(counts.spurious)


def test_half_is_not_enough() -> None:
    # 10 x 10 against 10 x 5: an IoU of exactly one half finds nothing.
    exact, more = errors_of([(A, 0)], [((0, 0, 10, 5), 0)]), errors_of([(A, 0)], [((0, 0, 10, 6), 0)])
    assert (exact.hit.tolist(), exact.is_missed.tolist()) == ([-1], [True])
    assert (more.hit.tolist(), more.is_missed.tolist()) == ([0], [False])
    # Of a prediction half lies in a crowd region: it is spurious; of another one six tenths do, and it is not judged.
    half, most = (errors_of([(A, 0)], [((4 + d, 0, 16 + d, 10), 0)], crowds=(0,)) for d in (0, -2))
    assert (half.is_ignored.tolist(), most.is_ignored.tolist()) == ([False], [True])
    # Two objects of which a prediction covers exactly half are not merged.
    merged, apart = (errors_of([(A, 0), (B, 0)], [((0, 0, 20, h), 0)]) for h in (6, 5))
    assert (merged.is_merged.tolist(), apart.is_merged.tolist()) == ([True], [False])


def test_what_is_left_for_a_double_must_be_more_than_half_of_it() -> None:
    # Both predictions are the whole; the surer one finds it. With the half of it the other has an IoU of one half.
    errors = errors_of([(A, 0), ((0, 0, 10, 5), 0)], [(A, 0), (A, 0)])
    assert errors.hit.tolist() == [0, -1]
    assert errors.double_of.tolist() == [-1, 0]
