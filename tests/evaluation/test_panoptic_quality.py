"""Panoptic quality, on paper, against sets of pixels, and against torchmetrics."""

import numpy as np
import pytest

from maskrcnn.evaluation.panoptic_quality import Quality, panoptic_quality, tally
from maskrcnn.structures.panoptic import Panoptic, Segment
from tests.oracles import panoptic_quality as oracle

THINGS, STUFF = ("cat", "dog"), ("grass", "sky", "road")
SIZE = (24, 30)


def scene(ids: np.ndarray, classes: dict[int, int]) -> Panoptic:
    """`classes` of each id: 0, 1 are things, from 2 on stuff."""
    segments = tuple(
        Segment(number, label if label < 2 else label - 2, label < 2, int((ids == number).sum()))
        for number, label in classes.items()
    )
    return Panoptic(ids.astype(np.int32), segments, THINGS, STUFF)


def random_scene(
    rng: np.random.Generator, *, void: float, like: Panoptic | None = None
) -> tuple[Panoptic, dict[int, int]]:
    """Rectangles of things over bands of stuff; or `like` one with a part of its pixels moved to other segments."""
    height, width = SIZE
    if like is None:
        bands = np.sort(rng.integers(0, height, 2))
        ids = np.digitize(np.arange(height), bands)[:, None].repeat(width, axis=1) + 101
        classes = {101: 2, 102: 3, 103: 4}
        for number in range(1, 9):
            y, x, h, w = rng.integers([0, 0, 3, 3], [18, 22, 10, 12])
            ids[y : y + h, x : x + w] = number
            classes[number] = int(rng.integers(0, 2))
    else:
        classes = {s.id: s.label if s.is_thing else s.label + 2 for s in like.segments}
        ids = np.roll(like.ids, rng.integers(-1, 2, 2), axis=(0, 1))
        for number in rng.choice(list(classes), 3):  # a wrong class, of things among things
            classes[int(number)] = int(rng.integers(0, 2)) if classes[int(number)] < 2 else classes[int(number)]
    ids = np.where(rng.random(SIZE) < void, 0, ids)
    y, x = rng.integers(0, 15, 2)
    if void:
        ids[y : y + 8, x : x + 8] = 0
    classes = {number: label for number, label in classes.items() if (ids == number).any()}
    return scene(ids, classes), classes


def test_on_paper():
    # A cat of 8 pixels of which 6 are found, with 2 others: IoU 6 / 10. A dog that is not there. Grass, all but
    # the four pixels at issue. Void where the truth says nothing.
    true_ids = np.full((4, 8), 2)
    true_ids[:2, :4], true_ids[3, 7] = 1, 0
    found_ids = np.full((4, 8), 2)
    found_ids[:2, 1:5], found_ids[3, 5:7] = 1, 3
    true, found = scene(true_ids, {1: 0, 2: 2}), scene(found_ids, {1: 0, 2: 2, 3: 1})
    quality = panoptic_quality([tally(found, true)], THINGS, STUFF)
    cat, dog = quality.per_thing
    assert cat == Quality(pytest.approx(0.6), pytest.approx(0.6), 1.0)
    assert dog == Quality(0.0, 0.0, 0.0)
    # Grass: 23 true pixels, 21 found there, of which two are the cat's; without void: 19 / 23 ... of 23 + 2.
    grass_found = (found_ids == 2) & (true_ids != 0)
    iou = (grass_found & (true_ids == 2)).sum() / (grass_found | (true_ids == 2)).sum()
    assert quality.per_stuff[0].pq == pytest.approx(iou)
    assert quality.per_stuff[1] == Quality(None, None, None)
    assert quality.things.pq == pytest.approx(0.3)
    assert quality.all.pq == pytest.approx((0.6 + 0.0 + iou) / 3)
    assert quality.stuff.rq == 1.0
    assert quality.num_images == 1


def test_a_scene_is_as_good_as_itself():
    one, _ = random_scene(np.random.default_rng(0), void=0.1)
    quality = panoptic_quality([tally(one, one)], THINGS, STUFF)
    assert (quality.all, quality.things, quality.stuff) == (Quality(1.0, 1.0, 1.0),) * 3


def test_nothing_true_and_nothing_found():
    empty = scene(np.zeros(SIZE), {})
    full, _ = random_scene(np.random.default_rng(0), void=0.0)
    assert panoptic_quality([tally(empty, empty)], THINGS, STUFF).all == Quality(None, None, None)
    assert panoptic_quality([], THINGS, STUFF).all == Quality(None, None, None)
    assert panoptic_quality([tally(empty, full)], THINGS, STUFF).all == Quality(0.0, 0.0, 0.0)
    # What lies on void is no mistake.
    assert panoptic_quality([tally(full, empty)], THINGS, STUFF).all == Quality(None, None, None)


@pytest.mark.parametrize("seed", range(8))
def test_as_by_sets_of_pixels(seed: int):
    rng = np.random.default_rng(seed)
    true, true_classes = random_scene(rng, void=0.15)
    found, found_classes = random_scene(rng, void=0.1, like=true)
    crowds = [s.id for s in true.segments if s.is_thing][: int(rng.integers(0, 4))]
    every = {(y, x) for y in range(SIZE[0]) for x in range(SIZE[1])}
    expected = oracle.parts(
        oracle.segments_of(found.ids, found_classes), oracle.segments_of(true.ids, true_classes), set(crowds), every
    )
    mine = tally(found, true, crowds)
    for label in range(5):
        row = [mine.iou[label], mine.true_positives[label], mine.false_positives[label], mine.false_negatives[label]]
        assert row == pytest.approx(expected.get(label, [0, 0, 0, 0])), label
    assert mine.true_positives.sum() > 0


@pytest.mark.extra
@pytest.mark.parametrize("true_void", [0.0, 0.2])
def test_as_torchmetrics(true_void: float):
    detection = pytest.importorskip("torchmetrics.detection")
    torch = pytest.importorskip("torch")
    # It excuses what the prediction leaves open, COCO's own program does not: predictions here leave nothing open.
    metric = detection.PanopticQuality({0, 1}, {2, 3, 4}, return_sq_and_rq=True, return_per_class=True)
    means = detection.PanopticQuality({0, 1}, {2, 3, 4}, return_sq_and_rq=True)
    rng = np.random.default_rng(5)
    tallies = []
    for _ in range(12):
        base, _ = random_scene(rng, void=0.0)
        found, found_classes = random_scene(rng, void=0.0, like=base)
        ids = np.where(rng.random(SIZE) < true_void, 0, base.ids)
        true_classes = {s.id: s.label if s.is_thing else s.label + 2 for s in base.segments if (ids == s.id).any()}
        true = scene(ids, true_classes)
        tallies.append(tally(found, true))
        pairs = [
            torch.from_numpy(np.stack([_look_up(one.ids, classes), one.ids], axis=-1)[None].astype(np.int64))
            for one, classes in ((found, found_classes), (true, true_classes))
        ]
        metric.update(*pairs)
        means.update(*pairs)
    mine = panoptic_quality(tallies, THINGS, STUFF)
    per_class = [(q.pq or 0.0, q.sq or 0.0, q.rq or 0.0) for q in (*mine.per_thing, *mine.per_stuff)]
    np.testing.assert_allclose(np.array(per_class), metric.compute().numpy(), atol=1e-6)
    np.testing.assert_allclose((mine.all.pq, mine.all.sq, mine.all.rq), means.compute().numpy(), atol=1e-6)
    assert 0.2 < (mine.all.pq or 0) < 0.95


def _look_up(ids: np.ndarray, classes: dict[int, int]) -> np.ndarray:
    table = np.full(int(ids.max()) + 1, 9)  # a class that torchmetrics does not know is void to it
    for number, label in classes.items():
        table[number] = label
    return table[ids]


def test_scenes_that_cannot_be_compared():
    one = scene(np.zeros(SIZE), {})
    with pytest.raises(ValueError, match=r"scene of \(24, 30\)"):
        tally(scene(np.zeros((3, 3)), {}), one)
    other = Panoptic(np.zeros(SIZE, np.int32), (), THINGS, STUFF[:1])
    with pytest.raises(ValueError, match="classes of the true scene"):
        tally(other, one)
