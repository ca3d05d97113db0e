"""Intervals of counts: they hold as often as they say, for images, classes and folders."""

import numpy as np
import pytest

from maskrcnn.report.intervals import MAX_DRAWN, MAX_ERRORS, CountIntervals, check_order, coverage, spreads
from maskrcnn.structures.instances import Instances

LEVEL = 0.9


def counted(num_images: int, rng: np.random.Generator, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True and predicted counts of one class, and spreads, of images whose errors grow with the spread."""
    spread = np.sqrt(1 + rng.lognormal(1, 1, num_images))
    predicted = np.round(rng.lognormal(3.5, 0.8, num_images)).astype(int)
    errors = spread * (rng.standard_t(5, num_images) * 1.5 + bias)
    true = np.maximum(0, np.round(predicted + errors)).astype(int)
    return true[:, None], predicted[:, None], np.repeat(spread[:, None], 2, axis=1)


def test_on_paper():
    # Errors of 1..9 spreads, half of them to the other side: at 0.9 the (9 + 1) * 0.9 = 9th, the largest, counts.
    true = 100 + np.array([-1, 2, -3, 4, -5, 6, -7, 8, -9])[:, None]
    intervals = CountIntervals.fit(["cell"], 0.5, true, np.full((9, 1), 100), np.ones((9, 2)))
    assert intervals.factors(0.9) == [9.0, 9.0]
    assert intervals.factors(0.8) == [8.0, 8.0]
    assert intervals.of(np.array([20]), np.array([2.0, 2.0]), 0.9) == [(2, 38)] * 2
    assert intervals.of(np.array([5]), np.array([1.0, 1.0]), 0.9) == [(0, 14)] * 2, "never below nothing"
    assert intervals.of(np.array([5]), np.array([1.05, 1.05]), 0.9) == [(0, 14)] * 2, "14.45 objects are at most 14"
    assert intervals.of(np.array([20]), np.array([1.05, 1.05]), 0.9) == [(11, 29)] * 2, "10.55 are at least 11"


def test_too_few_images_give_none():
    intervals = CountIntervals.fit(["cell"], 0.5, np.ones((8, 1), int), np.ones((8, 1), int), np.ones((8, 2)))
    assert intervals.of(np.array([5]), np.ones(2), 0.9) == [None, None]
    assert intervals.of(np.array([5]), np.ones(2), 0.8) == [(5, 5)] * 2
    assert intervals.of_sum(5, np.ones(3), 0.9) is None
    assert intervals.num_to_check(np.ones(3), 0.9) is None


def test_images_without_the_class_do_not_narrow_its_interval():
    true, predicted = np.zeros((100, 2), int), np.zeros((100, 2), int)
    true[:, 0] = predicted[:, 0] = 10
    true[:9, 1], predicted[:9, 1] = 5, 3  # the second class is in nine images, and 2 too few are found there
    intervals = CountIntervals.fit(["cell", "debris"], 0.5, true, predicted, np.ones((100, 3)))
    assert intervals.of(np.array([10, 3]), np.ones(3), 0.9)[:2] == [(10, 10), (1, 5)]


def test_other_classes_than_it_was_made_from_are_an_error():
    intervals = CountIntervals(("cell",), 0.5, ((1.0,) * 9, (1.0,) * 9))
    assert intervals.of_instances(Instances.empty((4, 4), ("cell",))) == ({"cell": (0, 1)}, (0, 1))
    with pytest.raises(ValueError, match="known of cell, got nut"):
        intervals.of_instances(Instances.empty((4, 4), ("nut",)))


def test_spreads():
    # 0.5 (1 - 0.5) = 0.25 and 0.9 (1 - 0.9) = 0.09 of the second class of three.
    found = spreads(np.array([1, 1]), np.array([0.5, 0.9], np.float32), 3)
    assert found == pytest.approx([1, np.sqrt(1.34), 1, np.sqrt(1.34)])
    assert spreads(np.zeros(0, int), np.zeros(0), 2).tolist() == [1, 1, 1]


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_counts_of_new_images_are_in_their_intervals(bias: float):
    rng, shares = np.random.default_rng(1), []
    for _ in range(60):
        intervals = CountIntervals.fit(["cell"], 0.5, *counted(40, rng, bias))
        true, predicted, spread = counted(100, rng, bias)
        found = [intervals.of(p, s, LEVEL)[-1] for p, s in zip(predicted, spread, strict=True)]
        shares.append(
            np.mean([one is not None and one[0] <= t <= one[1] for one, t in zip(found, true[:, 0], strict=True)])
        )
    assert 0.87 < np.mean(shares) < 0.94


def test_coverage_is_measured_on_images_that_were_not_used():
    true, predicted, spread = counted(120, np.random.default_rng(2))
    held = coverage(true[:, 0], predicted[:, 0], spread[:, -1], LEVEL)
    assert held is not None
    assert held.num_images == 120
    assert 0.87 < held.share < 0.94
    wider = coverage(true[:, 0], predicted[:, 0], spread[:, -1], 0.97)
    assert wider is not None
    assert wider.half_width > held.half_width
    assert wider.share > held.share
    assert coverage(true[:12, 0], predicted[:12, 0], spread[:12, -1], LEVEL) is None


@pytest.mark.parametrize("num_images", [20, MAX_DRAWN + 500])
def test_sums_are_in_their_intervals(num_images: int):
    rng, hits, widths = np.random.default_rng(3), [], []
    for _ in range(40):
        intervals = CountIntervals.fit(["cell"], 0.5, *counted(60, rng, 0.5))
        true, predicted, spread = counted(num_images, rng, 0.5)
        interval = intervals.of_sum(int(predicted.sum()), spread[:, -1], LEVEL)
        assert interval is not None
        hits.append(interval[0] <= true.sum() <= interval[1])
        widths.append((interval[1] - interval[0]) / spread[:, -1].sum())
    assert 0.75 < np.mean(hits) <= 1
    assert np.mean(widths) < 2, "errors of images cancel: far narrower than the sum of the intervals"


def test_checking_images_by_hand_halves_the_interval():
    rng = np.random.default_rng(4)
    intervals = CountIntervals.fit(["cell"], 0.5, *counted(60, rng))
    spread = counted(50, rng)[2][:, -1]
    number = intervals.num_to_check(spread, LEVEL)
    assert number is not None
    assert 0 < number < 50
    order = check_order(spread)
    assert sorted(order) == list(range(50))

    def width(num_checked: int) -> int:
        interval = intervals.of_sum(10**6, spread[order[num_checked:]], LEVEL, num_checked)
        assert interval is not None
        return interval[1] - interval[0]

    assert width(number) <= width(0) / 2 < width(number - 1)
    # One image of spread 9 among 90 of spread 1 is drawn first with a probability of 9 / 99, and early on average.
    places = [int(np.flatnonzero(check_order(np.r_[np.ones(i), 9.0, np.ones(90 - i)]) == i)[0]) for i in range(91)]
    assert np.mean(places) < 20, "the less sure come first, about 9 of 90; at random it would be 45"


def test_images_checked_by_hand_tell_about_the_others():
    intervals = CountIntervals.fit(["cell"], 0.5, *counted(200, np.random.default_rng(6)))
    rest = np.ones(MAX_DRAWN + 500)

    def width(num_checked: int) -> int:
        interval = intervals.of_sum(10**6, rest, LEVEL, num_checked)
        assert interval is not None
        return interval[1] - interval[0]

    # The mean error of n images has a variance of 1 / n; those held back and checked count together, 1500 are the rest.
    assert width(600) == pytest.approx(width(0) * np.sqrt((1 / 800 + 1 / 1500) / (1 / 200 + 1 / 1500)), rel=0.15)


def test_stored_and_read_again():
    intervals = CountIntervals.fit(["cell"], 0.5, *counted(MAX_ERRORS + 100, np.random.default_rng(5)))
    assert [len(errors) for errors in intervals.errors] == [MAX_ERRORS] * 2
    assert CountIntervals.from_dict(intervals.to_dict() | {"calibrated_on": "val.json"}) == intervals


@pytest.mark.parametrize(
    "change",
    [
        {"errors": [[0.1]]},
        {"errors": [[0.1], [float("nan")]]},
        {"errors": [["x"], [0.1]]},
        {"class_names": [1]},
        {"score_threshold": None},
    ],
)
def test_what_a_stranger_stored_is_refused(change: dict[str, object]):
    right = {"class_names": ["cell"], "score_threshold": 0.5, "errors": [[0.1], [0.1]]}
    CountIntervals.from_dict(right)
    with pytest.raises(ValueError, match="count_intervals: expected"):
        CountIntervals.from_dict(right | change)


def test_a_level_is_a_share():
    intervals = CountIntervals.fit(["cell"], 0.5, np.ones((9, 1), int), np.ones((9, 1), int), np.ones((9, 2)))
    with pytest.raises(ValueError, match="level: expected a share between 0 and 1, got 90"):
        intervals.factors(90)
