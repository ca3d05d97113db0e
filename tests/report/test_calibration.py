"""Scores as chances: a temperature on paper, its laws, and sets that are too small."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskrcnn.report.calibration import (
    MAX_FITTED,
    MIN_OF_EACH,
    TEMPERATURES,
    ScoreCalibration,
    fit_scaling,
    fit_temperature,
    reliability,
    scaled,
)


def logit(score: float) -> float:
    return math.log(score / (1 - score))


def drawn(num: int, temperature: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose chances, at this temperature, are true, and what came of each."""
    scores = rng.uniform(0.02, 0.98, num)
    return scores, rng.random(num) < scaled(scores, temperature)


def test_a_temperature_on_paper():
    # 100 detections of score 0.9, 75 of them right: logit(0.9) / T = logit(0.75).
    scores, is_right = np.full(100, 0.9), np.arange(100) < 75
    temperature = fit_temperature(scores, is_right)
    assert temperature == pytest.approx(logit(0.9) / logit(0.75), rel=1e-6)
    assert scaled(scores, temperature) == pytest.approx(np.full(100, 0.75))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_there_is_found(temperature: float):
    scores, is_right = drawn(20_000, temperature, np.random.default_rng(0))
    found = fit_temperature(scores, is_right)
    assert found == pytest.approx(temperature, rel=0.05)
    assert reliability(scaled(scores, found), is_right).error < 0.015


def test_the_likelihood_is_lower_on_both_sides():
    scores, is_right = drawn(300, 1.7, np.random.default_rng(1))

    def loss(temperature: float) -> float:
        chances = scaled(scores, temperature)
        return -float(np.log(np.where(is_right, chances, 1 - chances)).mean())

    best = fit_temperature(scores, is_right)
    assert best is not None
    assert loss(best) < min(loss(0.98 * best), loss(1.02 * best))


def test_the_order_stays_and_half_is_half():
    calibration = ScoreCalibration(2.0, 0.0, 100, None, None, None)
    scores = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    chances = calibration.calibrated(scores)
    assert (chances.diff() > 0).all()
    assert chances[2] == 0.5
    assert chances[3] == pytest.approx(0.75)  # sqrt(9) to 1
    assert chances.isfinite().all()
    assert calibration.calibrated(torch.zeros(0)).shape == (0,)
    assert torch.equal(scores, torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0]))
    assert chances.numpy()[1:4] == pytest.approx(scaled(scores[1:4].numpy(), 2.0))
    shifted = ScoreCalibration(0.5, -1.5, 100, None, None, None)
    assert shifted.calibrated(scores).numpy()[1:4] == pytest.approx(scaled(scores[1:4].numpy(), 0.5, -1.5))


def test_a_temperature_and_a_shift_on_paper():
    # Of 0.9, 75 in 100 are right; of 0.2, 10 in 100: two equations for 1 / temperature and shift.
    scores = np.repeat([0.9, 0.2], 100)
    is_right = np.concatenate([np.arange(100) < 75, np.arange(100) < 10])
    scaling = fit_scaling(scores, is_right)
    assert scaling is not None
    slope = (logit(0.75) - logit(0.1)) / (logit(0.9) - logit(0.2))
    assert scaling == pytest.approx((1 / slope, logit(0.75) - slope * logit(0.9)), rel=1e-3)
    assert scaled(np.array([0.9, 0.2]), *scaling) == pytest.approx([0.75, 0.1], rel=1e-3)


def test_the_scaling_that_was_there_is_found():
    rng = np.random.default_rng(3)
    scores = rng.uniform(0.02, 0.98, 20_000)
    is_right = rng.random(len(scores)) < scaled(scores, 0.8, -0.9)
    scaling, temperature = fit_scaling(scores, is_right), fit_temperature(scores, is_right)
    assert scaling == pytest.approx((0.8, -0.9), rel=0.06)
    assert temperature is not None
    assert reliability(scaled(scores, temperature), is_right).error > 0.08
    assert reliability(scaled(scores, *scaling), is_right).error < 0.015


@pytest.mark.parametrize("fit", [fit_temperature, fit_scaling])
def test_too_few_to_tell(fit: Callable[[np.ndarray, np.ndarray], object]):
    scores = np.linspace(0.9, 0.1, 60)
    assert fit(scores, np.arange(60) < MIN_OF_EACH) is not None
    assert fit(scores, np.arange(60) < MIN_OF_EACH - 1) is None
    assert fit(scores, np.arange(60) < 60 - MIN_OF_EACH + 1) is None
    assert fit(np.zeros(0), np.zeros(0, bool)) is None


def test_scores_without_an_error_stay_within_bounds():
    # The surer the better: as cold as is allowed.
    scores, is_right = np.repeat([0.9, 0.1], 30), np.repeat([True, False], 30)
    assert fit_temperature(scores, is_right) == pytest.approx(TEMPERATURES[0], rel=1e-3)
    assert fit_temperature(scores, ~is_right) == pytest.approx(TEMPERATURES[1], rel=1e-3)
    scaling = fit_scaling(scores, is_right)
    assert scaling is not None
    assert 0 < scaling[0] < 1
    assert scaling[1] == pytest.approx(0, abs=1e-3)
    assert fit_scaling(scores, ~is_right) is None  # the order of chances would not be that of the scores


def test_of_very_many_a_sample_is_fitted():
    scores, is_right = drawn(2 * MAX_FITTED, 2.0, np.random.default_rng(2))
    assert fit_temperature(scores, is_right) == pytest.approx(2.0, rel=0.06)


def test_an_error_on_paper():
    # Four of 0.9, of which two are right; one of 1, right: (4 * 0.4 + 0) / 5. Both bins: 13 of 15, and the last.
    scores, is_right = np.array([0.9, 0.9, 0.9, 0.9, 1.0]), np.array([True, True, False, False, True])
    bins = reliability(scores, is_right)
    assert (bins.num[13], bins.num[14], sum(bins.num)) == (4, 1, 5)
    assert (bins.share_right[13], bins.share_right[14]) == (0.5, 1.0)
    assert bins.error == pytest.approx(0.32)
    assert reliability(np.zeros(0), np.zeros(0, bool)).error == 0


def test_to_json_and_back():
    for calibration in (
        ScoreCalibration(1.5, -0.5, 99, 0.1, 0.07, 0.05),
        ScoreCalibration(1.5, -0.5, 99, None, None, None),
    ):
        assert ScoreCalibration.from_dict(calibration.to_dict() | {"calibrated_on": "val.json"}) == calibration


@pytest.mark.parametrize("change", [{"temperature": 0}, {"temperature": "hot"}, {"shift": float("nan")}, {"error": []}])
def test_what_a_stranger_wrote(change: dict):
    stored = ScoreCalibration(1.5, -0.5, 99, 0.1, 0.07, 0.05).to_dict()
    with pytest.raises(ValueError, match="score_calibration: expected"):
        ScoreCalibration.from_dict(stored | change)
