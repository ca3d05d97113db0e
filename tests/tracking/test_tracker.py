"""Tracks: on paper, and on made films with a known truth."""

import numpy as np
import pytest

from maskrcnn.tracking.matching import assigned, camera_shift
from maskrcnn.tracking.overlap import Shapes, mask_iou
from maskrcnn.tracking.tracker import Tracker, TrackingRules
from tests.tracking.made_tracks import squares
from tools.film_maker import Scene, detections, made_cutouts, make_film


def follow(frames: list, rules: TrackingRules | None = None, times: list[float] | None = None) -> list[list[int]]:
    """The final numbers of the objects of each frame."""
    tracker = Tracker(rules)
    keys = [tracker.update(frame, times[i] if times else None) for i, frame in enumerate(frames)]
    tracker.finish()
    return [tracker.numbers(some).tolist() for some in keys]


def test_two_objects_that_pass_each_other_keep_their_numbers():
    a, b = np.linspace(50, 150, 21), np.linspace(150, 50, 21)
    frames = [squares(np.array([(x, 100), (y, 106)]), side=12) for x, y in zip(a, b, strict=True)]
    assert follow(frames) == [[1, 2]] * 21


def test_the_order_of_detections_does_not_matter():
    places = np.array([(50, 50), (90, 50), (130, 50)])
    frames = [squares(np.roll(places + np.array([2 * t, 0]), t, axis=0), side=12) for t in range(6)]
    assert follow(frames) == [np.roll([1, 2, 3], t).tolist() for t in range(6)]


def test_an_object_that_was_hidden_gets_its_number_back():
    frames = [squares(np.array([(50 + 4 * t, 100)]), side=12) for t in range(30)]
    frames[10:20] = [squares(np.zeros((0, 2)))] * 10
    assert follow(frames) == [[1]] * 10 + [[]] * 10 + [[1]] * 10
    assert follow(frames, TrackingRules(max_lost_frames=5))[-1] == [2]


def test_an_object_that_stopped_while_it_was_hidden_gets_its_number_back():
    # By its motion it would be 80 px further on by then, more than is looked for.
    x = np.concatenate([50 + 4.0 * np.arange(10), np.full(25, 90.0)])
    frames = [squares(np.array([(at, 100)]), side=12) for at in x]
    frames[10:30] = [squares(np.zeros((0, 2)))] * 20
    assert follow(frames)[-1] == [1]


def test_what_is_seen_in_too_few_frames_does_not_count():
    steady, flash = (100, 100), (300, 300)
    frames = [squares(np.array([steady, flash] if t in (4, 5) else [steady]), side=12) for t in range(10)]
    assert follow(frames) == [[1, 0] if t in (4, 5) else [1] for t in range(10)]
    assert follow(frames, TrackingRules(confirm_frames=2))[4] == [1, 2]


def test_an_object_that_is_found_twice_is_one():
    def frame(t: int):
        twice = [(53 + 2 * t, 102)] * (3 <= t < 7)  # most of it in the other
        beside = [(62 + 2 * t, 100)] * (t >= 2)  # a quarter of it is
        return squares(np.array([(50 + 2 * t, 100), *beside, *twice]), side=12)

    assert follow([frame(t) for t in range(10)]) == [[1]] * 2 + [[1, 2]] + [[1, 2, 0]] * 4 + [[1, 2]] * 3


def test_all_of_a_film_shorter_than_that_counts():
    assert follow([squares(np.array([(100, 100)]), side=12)]) == [[1]]


def test_doubtful_detections_go_on_with_a_track_and_begin_none():
    def frame(t: int):
        return squares(np.array([(50 + 2 * t, 100), (300, 300)]), side=12, scores=[0.9 if t < 5 else 0.3, 0.3])

    assert follow([frame(t) for t in range(10)]) == [[1, 0]] * 10


def test_the_class_of_a_track_is_the_one_most_speaks_for():
    tracker = Tracker()
    for t in range(7):
        tracker.update(squares(np.array([(50, 100)]), side=12, labels=[1 if t in (0, 3) else 0]))
    assert tracker.labels == {1: 0}


def test_times_tell_how_far_it_has_gone():
    # 6 px in a frame; after the gap of ten frames it is 60 px on, as far as five of its sizes.
    t = np.concatenate([np.arange(10), np.arange(19, 25)])
    frames = [squares(np.array([(50 + 6 * at, 100)]), side=12) for at in t]
    assert follow(frames, times=(t / 25).tolist())[-1] == [1]


def test_a_camera_that_jumps_takes_all_tracks_with_it():
    rng = np.random.default_rng(0)
    places = np.array([(x, y) for x in range(60, 340, 40) for y in range(60, 340, 40)], float)
    frames = [squares(places + rng.integers(-18, 19, 2), side=12) for _ in range(12)]
    assert follow(frames) == [list(range(1, 50))] * 12


def test_a_shift_needs_most_objects():
    expected = np.array([(x, 100.0, 10, 10) for x in range(0, 300, 30)])
    seen = expected.copy()
    seen[:3, 0] += 12
    assert camera_shift(expected, seen).tolist() == [0, 0]
    assert camera_shift(expected, expected + np.array([12, 0, 0, 0])).tolist() == [12, 0]
    assert camera_shift(expected[:2], seen[:2]).tolist() == [0, 0]


def test_pairs_below_the_least_keep_no_others_apart():
    rows, columns = assigned(np.array([[0.5, 0.45], [0.4, 0.05]]), 0.2)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]
    rows, columns = assigned(np.array([[0.5, 0.1], [0.4, 0.05]]), 0.2)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0)]
    assert assigned(np.zeros((0, 3)), 0.1)[0].tolist() == []


def test_iou_of_grids_is_that_of_the_pixels():
    film = make_film(Scene("crossing", 15, num_frames=2, size=(200, 240)), made_cutouts(), 3)
    first, second = (detections(frame, ["a"], np.random.default_rng(1)) for frame in film)
    found = mask_iou(Shapes.of(first), Shapes.of(second))
    a, b = (one.bitmaps().reshape(len(one), -1).astype(float) for one in (first, second))
    both = a @ b.T
    true = both / (a.sum(1)[:, None] + b.sum(1)[None] - both)
    assert (true > 0.3).sum() > 8
    np.testing.assert_allclose(found, true, atol=0.1)
    assert np.abs(found - true)[true > 0].mean() < 0.04


@pytest.mark.parametrize("scene", [Scene("crossing", 12, num_frames=40), Scene("shake", 12, num_frames=40, shake_px=6)])
def test_most_objects_of_a_made_film_have_one_number(scene: Scene):
    tracker, rng = Tracker(), np.random.default_rng(2)
    keys, truth = [], []
    for frame in make_film(scene, made_cutouts(), 5):
        found = detections(frame, ["a"], rng)
        keys.append(tracker.update(found))
        centres = (found.boxes[:, :2] + found.boxes[:, 2:]).numpy() / 2
        true = (frame.boxes[:, :2] + frame.boxes[:, 2:]) / 2
        nearest = np.linalg.norm(centres[:, None] - true[None], axis=2)
        truth.append(np.where(nearest.min(axis=1) < 8, frame.ids[nearest.argmin(axis=1)], 0))
    numbers, ids = tracker.numbers(np.concatenate(keys)), np.concatenate(truth)
    right = 0
    for one in np.unique(ids[ids > 0]):
        right += np.bincount(numbers[ids == one])[1:].max(initial=0)
    assert right / (ids > 0).sum() > 0.93
