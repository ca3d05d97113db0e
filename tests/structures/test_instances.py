"""A result is a value: checked when made, filtered into new ones, with masks on request."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.masks import masks_to_rles


@pytest.fixture
def instances() -> Instances:
    probs = torch.rand(4, 7, 7, generator=torch.Generator().manual_seed(0))
    probs[1] = 0
    return Instances(
        image_size=(20, 30),
        boxes=torch.tensor([[1.0, 2, 9, 12], [3, 3, 8, 8], [-4, 5, 40, 15], [20.3, 1.2, 26.9, 19.5]]),
        labels=torch.tensor([0, 1, 1, 0]),
        scores=torch.tensor([0.9, 0.8, 0.7, 0.6]),
        mask_probs=probs,
        class_names=("cell", "nucleus"),
        ceilings=("100 of 100 detections",),
    )


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, [0]),
        (-1, [3]),
        (np.int64(2), [2]),
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([2, 0], [2, 0]),
        ([], []),
        ([True, False, False, True], [0, 3]),
        (torch.tensor([3, 3]), [3, 3]),
        (torch.tensor([1], dtype=torch.int32), [1]),
        (torch.tensor(1), [1]),
        (np.array([1, 2]), [1, 2]),
        (np.array([False, True, False, False]), [1]),
        (torch.zeros(4, dtype=torch.bool), []),
    ],
)
def test_filtering(instances: Instances, index, expected: list[int]):
    some = instances[index]
    assert len(some) == len(expected)
    assert torch.equal(some.boxes, instances.boxes[expected])
    assert torch.equal(some.labels, instances.labels[expected])
    assert torch.equal(some.scores, instances.scores[expected])
    assert torch.equal(some.mask_probs, instances.mask_probs[expected])
    assert some.rles() == [instances.rles()[i] for i in expected]
    assert (some.image_size, some.class_names, some.ceilings) == ((20, 30), ("cell", "nucleus"), instances.ceilings)


@pytest.mark.parametrize("index", [4, -5, [0, 4], torch.zeros(3, dtype=torch.bool), torch.tensor([0.5])])
def test_a_wrong_index_is_an_error(instances: Instances, index):
    with pytest.raises(IndexError):
        instances[index]


def test_iterating_ends(instances: Instances):
    assert [one.scores.item() for one in instances] == instances.scores.tolist()


def test_all_forms_of_the_masks_agree(instances: Instances):
    assert instances.rles() == masks_to_rles(instances.mask_probs, instances.boxes, (20, 30), "exact")
    bitmaps = instances.bitmaps()
    assert bitmaps.shape == (4, 20, 30)
    assert bitmaps.dtype == bool
    assert instances.areas().dtype == np.int64
    assert instances.areas().tolist() == bitmaps.sum((1, 2)).tolist()
    assert instances.areas()[1] == 0
    for bitmap, (x0, y0, crop) in zip(bitmaps, instances.crops(), strict=True):
        h, w = crop.shape
        assert np.array_equal(bitmap[y0 : y0 + h, x0 : x0 + w], crop)
        assert crop.sum() == bitmap.sum()
    polygons = instances.polygons()
    assert len(polygons) == 4
    assert polygons[1] == []
    assert polygons[0][0]["exterior"].shape[1] == 2


def test_rles_are_computed_once(instances: Instances):
    assert instances.rles()[0] is instances.rles()[0]
    instances.rles().clear()
    assert len(instances.rles()) == 4


@pytest.mark.parametrize("mode", ["exact", "expand_to_integer", "integer"])
def test_empty(mode):
    none = Instances.empty((20, 30), ("cell",), paste_mode=mode)
    assert len(none) == len(none[[]]) == len(none[:3]) == 0
    assert none.rles() == none.polygons() == none.crops() == []
    assert none.bitmaps().shape == (0, 20, 30)
    assert none.areas().shape == (0,)
    assert none.to("cpu").paste_mode == mode


def test_it_is_frozen_and_compares_by_identity(instances: Instances):
    with pytest.raises(FrozenInstanceError):
        instances.scores = torch.zeros(4)  # pyright: ignore[reportAttributeAccessIssue]
    assert instances != instances[:]
    assert len({instances, instances}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boxes", torch.zeros(4, 5)),
        ("boxes", torch.zeros(4, 4, dtype=torch.float64)),
        ("labels", torch.zeros(4)),
        ("labels", torch.zeros(3, dtype=torch.int64)),
        ("scores", torch.zeros(4, 1)),
        ("mask_probs", torch.zeros(4, 7, 8)),
        ("mask_probs", torch.zeros(4, 7, 7, dtype=torch.bool)),
        ("mask_probs", torch.zeros(())),
        ("paste_mode", "nearest"),
    ],
)
def test_what_does_not_fit_is_named(instances: Instances, name: str, value):
    with pytest.raises(ValueError, match=f"expected .*{name}"):
        Instances(**{**vars(instances), name: value})


def test_extra_fields_follow_the_objects(instances: Instances):
    tracked = replace(instances, extra={"track": torch.tensor([5, 6, 7, 8]), "points": torch.rand(4, 17, 3)})
    some = tracked[[3, 0]].to("cpu")
    assert some.extra["track"].tolist() == [8, 5]
    assert torch.equal(some.extra["points"][1], tracked.extra["points"][0])
    with pytest.raises(ValueError, match=r"track of shape \(4, ...\), got \(3,\)"):
        replace(instances, extra={"track": torch.zeros(3)})


def test_concatenation(instances: Instances):
    tracked = replace(instances, extra={"track": torch.tensor([5, 6, 7, 8])})
    both = Instances.concatenate([tracked[2:], replace(tracked[:1], ceilings=("other",))])
    assert both.scores.tolist() == instances.scores[[2, 3, 0]].tolist()
    assert torch.equal(both.mask_probs, instances.mask_probs[[2, 3, 0]])
    assert both.extra["track"].tolist() == [7, 8, 5]
    assert both.ceilings == ("100 of 100 detections", "other")
    with pytest.raises(ValueError, match="same image_size"):
        Instances.concatenate([instances, tracked])
