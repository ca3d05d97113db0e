"""Lines that are crossed: on paper, and thousands of ways whose crossings are known by how they were made."""

import numpy as np
import pytest

from maskrcnn.tracking.lines import LineCounter
from tests.tracking.made_tracks import squares
from tools.crossing_ways import KINDS, wrong_counts


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


@pytest.mark.parametrize("seed", range(3))
def test_made_crossings_are_counted_without_an_error(seed: int):
    # tools/benchmark_crossings.py does 10,000 of them.
    assert wrong_counts(700, seed) == dict.fromkeys(KINDS, 0)
