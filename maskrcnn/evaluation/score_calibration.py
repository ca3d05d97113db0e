"""How far scores can be taken for chances, on annotated images: reliability, and what a temperature makes of it."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn.evaluation.mask_matches import MaskMatches
from maskrcnn.report.calibration import (
    NUM_BINS,
    Reliability,
    ScoreCalibration,
    fit_scaling,
    fit_temperature,
    reliability,
    scaled,
)

NUM_HALVES = 20


@dataclass(frozen=True)
class ScoreReliability:
    """Of all detections of some images down to a low score; those in crowd regions are left out."""

    raw: Reliability
    """Of the scores as they are."""
    calibrated: Reliability | None
    """Of calibrated ones, fitted on these same detections; None where they are too few."""
    calibration: ScoreCalibration | None
    """Fitted on all images; its errors are means over random halves of them, each with what was fitted on the
    other."""


def score_reliability(matches: MaskMatches) -> ScoreReliability:
    """Judges the scores of `matches` at IoU 0.5."""
    keep = matches.is_hit[0] | ~matches.is_in_crowd
    scores, is_right = matches.scores[keep].astype(np.float64), matches.is_hit[0][keep]
    raw, scaling = reliability(scores, is_right), fit_scaling(scores, is_right)
    if scaling is None:
        return ScoreReliability(raw, None, None)
    errors = _errors_of_halves(scores, is_right, matches.image_idx[keep], len(matches.num_true))
    temperature, shift = (float(f"{value:.4g}") for value in scaling)
    calibration = ScoreCalibration(temperature, shift, len(scores), *errors)
    return ScoreReliability(raw, reliability(scaled(scores, temperature, shift), is_right), calibration)


def _errors_of_halves(
    scores: np.ndarray, is_right: np.ndarray, image_idx: np.ndarray, num_images: int
) -> tuple[float | None, float | None, float | None]:
    """Of the scores, of those at a temperature, and of calibrated ones."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(NUM_HALVES):
        is_fitted = np.zeros(num_images, bool)
        is_fitted[rng.permutation(num_images)[: num_images // 2]] = True
        fitted, others = is_fitted[image_idx], ~is_fitted[image_idx]
        temperature = fit_temperature(scores[fitted], is_right[fitted])
        scaling = fit_scaling(scores[fitted], is_right[fitted])
        if temperature is None or scaling is None:
            return None, None, None
        of_others = scores[others]
        ways = of_others, scaled(of_others, temperature), scaled(of_others, *scaling)
        errors.append([reliability(way, is_right[others]).error for way in ways])
    raw, at_temperature, calibrated = np.mean(errors, axis=0).tolist()
    return raw, at_temperature, calibrated


def calibration_line(scores: ScoreReliability) -> str:
    """What scores are worth as chances, in a sentence."""
    found = f"scores as chances: expected calibration error {scores.raw.error:.3f}"
    calibration = scores.calibration
    if calibration is None:
        return f"{found}; too few detections are right, or wrong, to calibrate them"
    if calibration.error is None:
        return f"{found}; too few images are there to test a calibration"
    return (
        f"{found}; on images that were not fitted on {calibration.error:.3f}, after temperature scaling "
        f"{calibration.error_temperature:.3f}, with a shift {calibration.error_calibrated:.3f} "
        f"({NUM_HALVES} random halves)"
    )


def plot_reliability(scores: ScoreReliability) -> Figure:
    """The share of detections that is right against their score, and how many there are."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _diagram(left, scores.raw, f"scores as they are: {scores.raw.error:.3f}")
    if scores.calibrated is not None and scores.calibration is not None:
        scaling = f"temperature {scores.calibration.temperature:.2f}, shift {scores.calibration.shift:+.2f}"
        name = f"calibrated ({scaling}): {scores.calibrated.error:.3f}"
        _diagram(right, scores.calibrated, name)
    else:
        right.set_axis_off()
    return figure


def _diagram(axes: Axes, bins: Reliability, title: str) -> None:
    edges = np.arange(NUM_BINS) / NUM_BINS
    axes.bar(edges, bins.share_right, 1 / NUM_BINS, align="edge", color="C0", edgecolor="white", label="right")
    there = np.array(bins.num) > 0
    axes.plot(np.array(bins.mean_score)[there], np.array(bins.share_right)[there], "o", color="black", markersize=4)
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
    for k in np.flatnonzero(there).tolist():
        axes.annotate(str(bins.num[k]), (edges[k] + 0.5 / NUM_BINS, 1.01), ha="center", fontsize=7, color="gray")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.06)
    axes.set_xlabel("score")
    axes.set_ylabel("share that is right")
    axes.set_title(title, fontsize="medium")
