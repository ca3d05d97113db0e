"""Lines that are crossed: on paper, and thousands of ways whose crossings are known by how they were made."""

import numpy as np
import pytest

from maskrcnn.tracking.lines import LineCounter
from tests.tracking.made_tracks import squares

NUM_WAYS = 2000
"""Each in a track of its own, all in one film. With 10,000 there is no error either."""
HYSTERESIS = 4.0
FRAMES = 40


def walk(counter: LineCounter, *ways: list[tuple[float, float]]) -> list[tuple[str, int, int]]:
    """Direction, track and frame of what crosses."""
    found = []
    for places in zip(*ways, strict=True):
        instances = squares(np.array(places), range(1, len(places) + 1))
        found += [(one.direction, one.track, one.frame) for one in counter.update(instances)]
    return found


def test_down_over_a_line_from_left_to_right_is_in():
    line = LineCounter((50, 100), (150, 100), name="gate")
    down = [(80.0, y) for y in (80.0, 95, 102, 110, 120)]
    up = down[::-1]
    assert walk(line, down, up) == [("in", 1, 3), ("out", 2, 3)]
    assert line.counts == {"in": {"nut": 1}, "out": {"nut": 1}}


def test_around_the_end_of_a_line_is_not_over_it():
    line = LineCounter((50, 100), (150, 100))
    assert walk(line, [(160.0, 80.0), (160.0, 120.0), (100.0, 120.0)]) == []
    # and back over it, once around and once through
    assert walk(line, [(100.0, 80.0), (100.0, 80.0), (100.0, 80.0)]) == [("out", 1, 3)]


def test_the_line_is_between_where_it_was_seen_before_it_was_lost_and_after():
    line = LineCounter((50, 100), (150, 100))
    line.update(squares(np.array([[80, 80]]), [1]))
    line.update(squares(np.zeros((0, 2)), []))
    assert [one.frame for one in line.update(squares(np.array([[80, 120]]), [1]))] == [2]


def test_each_direction_counts_once_for_an_object():
    line = LineCounter((50, 100), (150, 100))
    there_and_back = [(80.0, y) for y in (80.0, 120, 80, 120, 80)]
    assert walk(line, there_and_back) == [("in", 1, 1), ("out", 1, 2)]


def test_objects_without_a_track_do_not_cross():
    line = LineCounter((50, 100), (150, 100))
    for y in (80, 120):
        assert line.update(squares(np.array([[80, y]]), [0])) == []
    with pytest.raises(ValueError, match="track_ids"):
        line.update(squares(np.array([[80, 80]])))


def test_what_is_no_line():
    for wrong in (((1, 1), (1, 1)), ((1, 1), (2, np.nan))):
        with pytest.raises(ValueError, match="two different points"):
            LineCounter(*wrong)
    with pytest.raises(ValueError, match="hysteresis"):
        LineCounter((0, 0), (1, 1), hysteresis_px=-1)


def made_ways(kind: str, num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ways (num, FRAMES, 2) as px beside the line and px along it from its middle, and how often each goes over it from
    its negative side (in) and back (out), (num, 2).

    All places differ from the line's hysteresis by a pixel or more wherever that matters, as centroids are to a pixel.
    """
    t = np.linspace(0, 1, FRAMES)
    side = rng.choice([-1.0, 1.0], num)[:, None]
    far = rng.uniform(HYSTERESIS + 2, 90, (num, 1))
    along = rng.uniform(-60, 60, (num, 1)) + np.zeros(FRAMES)
    tremble = rng.uniform(-HYSTERESIS + 1, HYSTERESIS - 1, (num, FRAMES))
    is_in = side[:, 0] < 0
    once = np.stack([is_in, ~is_in], axis=1).astype(int)
    if kind == "slow":
        return np.stack([side * far * (1 - 2 * t), along], axis=2), once
    if kind == "fast":  # from side to side within a frame
        jump = (np.arange(FRAMES) >= rng.integers(1, FRAMES, (num, 1))).astype(float)
        return np.stack([side * far * (1 - 2 * jump), along], axis=2), once
    if kind == "oblique":
        along = rng.uniform(-60, 60, (num, 1)) * (1 - 2 * t) + 0 * along
        return np.stack([side * far * (1 - 2 * t), along], axis=2), once
    if kind == "trembling on it, then over":
        beside = np.where(t < 0.2, side * far, np.where(t < 0.8, tremble, -side * far))
        return np.stack([beside, along], axis=2), once
    if kind == "trembling on it, then back":
        beside = np.where(t < 0.2, side * far, np.where(t < 0.8, tremble, side * far))
        return np.stack([beside, along], axis=2), 0 * once
    if kind == "over and back":
        return np.stack([side * far * np.cos(2 * np.pi * t), along], axis=2), np.ones((num, 2), int)
    if kind == "back before it":
        return np.stack([side * (HYSTERESIS + 2 + far * np.abs(1 - 2 * t)), along], axis=2), 0 * once
    if kind == "starting on it":
        return np.stack([np.where(t < 0.3, tremble, side * far), along], axis=2), 0 * once
    assert kind == "beside its end"
    return np.stack([side * far * (1 - 2 * t), np.sign(along) * rng.uniform(83, 95, (num, 1))], axis=2), 0 * once


KINDS = (
    *("slow", "fast", "oblique", "trembling on it, then over", "trembling on it, then back", "over and back"),
    *("back before it", "starting on it", "beside its end"),
)


def errors(num: int, seed: int) -> dict[str, int]:
    """Of each kind the ways that were counted wrongly, over a line at an angle."""
    rng = np.random.default_rng(seed)
    wrong = {}
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-way[1], way[0]])
    middle = np.array([200.0, 200.0])
    for kind in KINDS:
        line = LineCounter(middle - 80 * way, middle + 80 * way, hysteresis_px=HYSTERESIS)
        ways, truth = made_ways(kind, num // len(KINDS), rng)
        places = middle + ways[..., :1] * across + ways[..., 1:] * way
        counted = np.zeros_like(truth)
        for frame in range(FRAMES):
            for one in line.update(squares(places[:, frame], np.arange(1, len(places) + 1))):
                counted[one.track - 1, 0 if one.direction == "in" else 1] += 1
        wrong[kind] = int((counted != truth).any(axis=1).sum())
    return wrong


@pytest.mark.parametrize("seed", range(3))
def test_made_crossings_are_counted_without_an_error(seed: int):
    assert errors(NUM_WAYS // 3, seed) == dict.fromkeys(KINDS, 0)
