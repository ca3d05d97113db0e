"""A result is a value: checked when made, filtered into new ones, with masks on request."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.masks import masks_to_rles
from maskrcnn.structures.runs import Runs


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


def test_what_is_printed_is_one_line(instances: Instances):
    assert repr(instances) == "Instances(4 objects: 2 cell, 2 nucleus; image 20 x 30)"
    assert repr(instances[1]) == "Instances(1 object: 1 nucleus; image 20 x 30)"
    assert repr(Instances.empty((5, 6), ("cell",))) == "Instances(0 objects; image 5 x 6)"
    names = tuple("abcdefgh")
    many = replace(instances[[0] * 9], class_names=names, labels=torch.tensor([7, 0, 1, 2, 3, 4, 5, 6, 7]))
    assert repr(many) == "Instances(9 objects: 2 h, 1 a, 1 b, 1 c, 1 d, 3 more classes; image 20 x 30)"


def test_torch_saves_and_loads_a_result_safely(instances: Instances, tmp_path: Path):
    expected = replace(instances, extra={"track": torch.arange(4)})
    expected.rles()
    torch.save({"a": expected}, tmp_path / "a.pt")
    torch.save(expected.to_dict(), tmp_path / "b.pt")
    loaded = [
        torch.load(tmp_path / "a.pt", weights_only=True)["a"],
        Instances.from_dict(torch.load(tmp_path / "b.pt", weights_only=True)),
        pickle.loads(pickle.dumps(expected)),
        copy.deepcopy(expected),
    ]
    for one in loaded:
        assert isinstance(one, Instances)
        for name, value in expected.to_dict().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(getattr(one, name), value)
            elif name != "extra":
                assert getattr(one, name) == value
        assert torch.equal(one.extra["track"], expected.extra["track"])
        assert one.rles() == expected.rles()
    assert not {"runs", "_rles"} & set(expected.__getstate__())


def test_a_saved_result_that_does_not_fit_is_an_error(instances: Instances):
    values = instances.to_dict()
    with pytest.raises(ValueError, match="colour is unknown or missing"):
        Instances.from_dict({**values, "colour": 1})
    with pytest.raises(ValueError, match=r"expected the fields boxes, .*; labels is unknown or missing"):
        Instances.from_dict({name: value for name, value in values.items() if name != "labels"})
    with pytest.raises(ValueError, match="expected scores of shape"):
        Instances.from_dict({**values, "scores": values["scores"][:2]})
    with pytest.raises(ValueError, match="expected scores of shape"):
        copy.copy(instances).__setstate__({**values, "scores": values["scores"][:2]})
    listed = Instances.from_dict({**values, "image_size": [20, 30], "class_names": ["cell", "nucleus"]})
    assert (listed.image_size, listed.class_names) == ((20, 30), ("cell", "nucleus"))


def test_a_copy_has_tensors_of_its_own_and_the_same_device_none(instances: Instances):
    assert instances.to("cpu").boxes is instances.boxes
    own = replace(instances, extra={"track": torch.arange(4)}).to("cpu", copy=True)
    own.boxes.zero_()
    own.extra["track"].zero_()
    assert instances.boxes.any()


def test_masks_known_pixel_by_pixel_follow_their_objects(instances: Instances):
    crops = instances.crops()
    x0, y0, bitmap = crops[2]
    crops[2] = x0, y0, ~bitmap
    pixels = Runs.of_crops(crops, instances.image_size)
    known = replace(instances, pixels=pixels)
    assert known.rles() == pixels.rles() != instances.rles()
    assert known[[1, 0]].rles() == [pixels.rles()[1], pixels.rles()[0]]
    assert known[known.scores < 0].rles() == []
    both = Instances.concatenate([known, instances])
    assert both.rles() == pixels.rles() + instances.rles()
    loaded = Instances.from_dict(known.to_dict())
    assert loaded.rles() == known.rles()
    assert pickle.loads(pickle.dumps(known)).rles() == known.rles()
    with pytest.raises(ValueError, match="expected the pixels of 2 masks"):
        replace(instances[:2], pixels=pixels)


def test_a_semantic_map_shows_the_best_score_of_every_pixel(instances: Instances):
    found = instances.semantic_map()
    assert found.class_names == ("background", "cell", "nucleus")
    assert found.background == 0
    expected = np.zeros((20, 30), np.uint8)
    for i in (3, 2, 1, 0):  # from the worst score to the best
        expected[instances.bitmaps()[i]] = instances.labels[i] + 1
    assert np.array_equal(found.class_idx, expected)
    assert len(np.unique(expected)) == 3
    assert instances[[]].semantic_map("none").shares.tolist() == [1, 0, 0]
