"""Scores of matched detections judged as chances, also on images that the temperature was not fitted on."""

import numpy as np
import pytest

from maskrcnn.evaluation.mask_matches import IOU_THRESHOLDS, MaskMatches
from maskrcnn.evaluation.score_calibration import calibration_line, plot_reliability, score_reliability
from maskrcnn.report.calibration import fit_scaling, scaled


def matches_of(scores: np.ndarray, is_right: np.ndarray, num_images: int, in_crowd: np.ndarray | None = None):
    return MaskMatches(
        iou_thresholds=IOU_THRESHOLDS,
        scores=scores.astype(np.float32),
        labels=np.zeros(len(scores), np.int64),
        image_idx=np.arange(len(scores)) % max(num_images, 1),
        is_hit=np.repeat(is_right[None], len(IOU_THRESHOLDS), axis=0),
        is_in_crowd=np.zeros(len(scores), bool) if in_crowd is None else in_crowd,
        num_true=np.ones((num_images, 1), np.int64),
    )


def drawn(num: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.05, 0.99, num)
    return scores, rng.random(num) < scaled(scores, temperature)


def test_too_sure_scores_are_brought_back():
    scores, is_right = drawn(4000, 3.0)
    found = score_reliability(matches_of(scores, is_right, 40))
    assert found.calibration is not None
    assert found.calibrated is not None
    assert found.calibration.temperature == pytest.approx(3.0, rel=0.15)
    assert found.calibration.num_detections == 4000
    assert found.calibration.error is not None
    assert found.calibration.error_calibrated is not None
    assert found.calibration.error == pytest.approx(found.raw.error, abs=0.02)
    assert found.calibration.error_temperature is not None
    assert found.calibration.error_temperature < 0.3 * found.calibration.error
    assert found.calibration.error_calibrated < 0.3 * found.calibration.error
    line = calibration_line(found)
    assert f"expected calibration error {found.raw.error:.3f}" in line
    assert f"not fitted on {found.calibration.error:.3f}, after temperature" in line
    assert f"with a shift {found.calibration.error_calibrated:.3f} (20 random halves)" in line


def test_halves_are_of_images():
    # Images agree within themselves: half are all right, half all wrong, at one score. Each half then has a scaling of
    # its own, which is wrong for the other: the error on images that were not fitted on says so.
    is_right = np.arange(400) % 20 < 10
    found = score_reliability(matches_of(np.full(400, 0.8), is_right, 20))
    assert found.calibration is not None
    assert found.calibrated is not None
    assert found.calibration.error_calibrated is not None
    assert found.calibrated.error < 0.05
    assert found.calibration.error_calibrated > 0.08


def test_crowds_are_left_out():
    scores, is_right = drawn(400, 2.0)
    more = np.full(100, 0.9)
    both = matches_of(
        np.concatenate([scores, more]), np.append(is_right, np.zeros(100, bool)), 10, np.arange(500) >= 400
    )
    alone = score_reliability(matches_of(scores, is_right, 10))
    assert score_reliability(both) == alone
    # A detection in a crowd that found an object is right all the same.
    hits = matches_of(
        np.concatenate([scores, more]), np.append(is_right, np.ones(100, bool)), 10, np.arange(500) >= 400
    )
    assert sum(score_reliability(hits).raw.num) == 500


def test_too_few():
    scores, is_right = drawn(30, 1.0)
    found = score_reliability(matches_of(scores, is_right, 3))
    assert (found.calibrated, found.calibration) == (None, None)
    assert "too few detections are right, or wrong, to calibrate them" in calibration_line(found)
    nothing = score_reliability(matches_of(np.zeros(0), np.zeros(0, bool), 0))
    assert nothing.raw.error == 0
    plot_reliability(nothing)


def test_one_image_cannot_be_halved():
    scores, is_right = drawn(400, 2.0)
    found = score_reliability(matches_of(scores, is_right, 1))
    assert found.calibration is not None
    assert (found.calibration.temperature, found.calibration.shift) == pytest.approx(
        fit_scaling(scores, is_right), rel=1e-2
    )
    assert (found.calibration.error, found.calibration.error_calibrated) == (None, None)
    assert "too few images are there to test" in calibration_line(found)


def test_the_diagram_shows_both(monkeypatch: pytest.MonkeyPatch):
    scores, is_right = drawn(400, 2.0)
    found = score_reliability(matches_of(scores, is_right, 10))
    left, right = plot_reliability(found).axes
    assert found.calibrated is not None
    for axes, bins in ((left, found.raw), (right, found.calibrated)):
        assert tuple(float(bar.get_height()) for bar in axes.patches) == pytest.approx(bins.share_right)
