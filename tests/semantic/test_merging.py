"""Objects and a semantic map as one scene, against a version that goes through the pixels one by one."""

import numpy as np
import pytest
import torch

from maskrcnn.semantic.merging import MergingRules, merge
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs
from tests.oracles import panoptic_merge as oracle

THINGS, STUFF = ("cat", "dog"), ("grass", "sky")


def instances_of(masks: np.ndarray, labels: list[int], scores: list[float]) -> Instances:
    """Of bool masks (N, H, W)."""
    runs = Runs.of_crops([(0, 0, mask) for mask in masks], (masks.shape[1], masks.shape[2]))
    return Instances(
        image_size=(masks.shape[1], masks.shape[2]),
        boxes=torch.from_numpy(runs.windows().astype(np.float32)),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        mask_probs=torch.ones(len(labels), 1, 1),
        class_names=THINGS,
        pixels=runs,
    )


def test_on_paper():
    # A dog on rows 0-1 and a cat on rows 1-2 of 4 columns: the dog is surer, so the cat keeps row 2, half of it.
    masks = np.zeros((3, 4, 4), bool)
    masks[0, 1:3] = masks[1, :2] = True
    masks[2, 3, 3] = True  # too unsure
    labels = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [0, 1, 2, 2]], np.uint8)
    found = merge(instances_of(masks, [0, 1, 1], [0.6, 0.9, 0.49]), labels, STUFF, MergingRules(0.5, 0.5, 2))
    # Of stuff the sky has two pixels left, the grass one, and where the map says things there is none.
    assert found.ids.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2], [0, 0, 3, 3]]
    assert [(s.id, s.label, s.is_thing, s.area, s.instance) for s in found.segments] == [
        (1, 1, True, 8, 1),
        (2, 0, True, 4, 0),
        (3, 1, False, 2, None),
    ]
    assert found.segments[0].score == pytest.approx(0.9)
    # A little less overlap allowed, and the cat is not in the scene; its row is what the map says.
    strict = merge(instances_of(masks, [0, 1, 1], [0.6, 0.9, 0.49]), labels, STUFF, MergingRules(0.5, 0.49, 2))
    assert strict.ids.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2], [0, 0, 2, 2]]
    assert [s.is_thing for s in strict.segments] == [True, False]


@pytest.mark.parametrize("seed", range(6))
def test_as_pixel_by_pixel(seed: int):
    rng = np.random.default_rng(seed)
    masks = np.zeros((30, 24, 31), bool)
    for mask in masks:
        y, x, h, w = rng.integers([0, 0, 0, 0], [20, 27, 14, 14])  # some have no pixel
        mask[y : y + h, x : x + w] = rng.random((24, 31))[y : y + h, x : x + w] < 0.8
    classes = rng.integers(0, 2, 30).tolist()
    scores = (rng.integers(2, 20, 30) / 20).tolist()  # with ties
    labels = rng.integers(0, 3, (24, 31)).astype(np.uint8)
    rules = (0.5, float(rng.choice([0.0, 0.3, 0.5, 1.0])), int(rng.integers(0, 120)))
    found = merge(instances_of(masks, classes, scores), labels, STUFF, MergingRules(*rules))
    ids, segments = oracle.merge(masks, classes, scores, labels, *rules)
    assert np.array_equal(found.ids, ids)
    assert [(s.id, s.label, s.is_thing, s.area) for s in found.segments] == segments
    for segment in found.segments:
        assert segment.area == (found.ids == segment.id).sum() > 0
        if segment.instance is not None:
            assert segment.score == scores[segment.instance] or segment.score == pytest.approx(scores[segment.instance])


def test_nothing_found_anywhere():
    nothing = instances_of(np.zeros((0, 3, 4), bool), [], [])
    found = merge(nothing, np.zeros((3, 4), np.uint8), STUFF, MergingRules(min_stuff_area=0))
    assert found.segments == ()
    assert (found.ids == 0).all()
    all_sky = merge(nothing, np.full((3, 4), 2, np.uint8), STUFF, MergingRules(min_stuff_area=12))
    assert [(s.label, s.area) for s in all_sky.segments] == [(1, 12)]


def test_what_does_not_fit_is_refused():
    nothing = instances_of(np.zeros((0, 3, 4), bool), [], [])
    with pytest.raises(ValueError, match=r"picture of \(3, 4\), got \(4, 3\)"):
        merge(nothing, np.zeros((4, 3), np.uint8), STUFF, MergingRules())
    with pytest.raises(ValueError, match="labels up to 2, got 3"):
        merge(nothing, np.full((3, 4), 3, np.uint8), STUFF, MergingRules())
