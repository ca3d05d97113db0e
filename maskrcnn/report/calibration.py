"""What a score is worth: the chance that a detection of that score is right.

The logit of the score is divided by a temperature (arXiv:1706.04599) and shifted (Platt's scaling): most detections of
a low score are no objects, so that a temperature alone, which leaves a score of 0.5 where it is, may help little. Both
are fitted on images that were held back. A detection is right if it finds an object, a mask IoU above 0.5 with an
annotation of its class that no surer one took.

D detections, of all scores that a model gives.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

NUM_BINS = 15
"""Of equal width, as in the paper."""
MIN_OF_EACH = 20
"""Right detections, and wrong ones, from which a temperature can be told."""
TEMPERATURES = (0.05, 20.0)
"""Between which it is looked for."""
MAX_FITTED = 20_000
"""Detections that a temperature is fitted on; of more, a sample."""
_CLOSEST = 1e-6  # to 0 and to 1: the logit is finite
_STEPS = 40
_SMALLEST_STEP = 1e-9
_RIDGE = 1e-3
"""Keeps the scaling finite where scores tell right from wrong without an error."""


@dataclass(frozen=True)
class ScoreCalibration:
    """What makes chances of scores, and how far these were off without and with it; stored with the weights."""

    temperature: float
    """What the logit of a score is divided by."""
    shift: float
    """What is then added; below 0 where the model was surer than it should be."""
    num_detections: int
    """That they were fitted on."""
    error: float | None
    """Expected calibration error of the scores, 0..1, on images that nothing was fitted on; None where they were too
    few."""
    error_temperature: float | None
    """The same after temperature scaling alone."""
    error_calibrated: float | None
    """The same of calibrated scores."""

    def calibrated(self, scores: Tensor) -> Tensor:
        """The chance that detections with these scores are right, 0..1, of the same shape; their order stays.

        Thresholds are about the scores themselves, which nothing changes.
        """
        logits = scores.clamp(_CLOSEST, 1 - _CLOSEST).logit()
        return (logits / self.temperature + self.shift).sigmoid()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> "ScoreCalibration":
        """What `to_dict` gave.

        Raises:
            ValueError: anything else.
        """
        keys = "error", "error_temperature", "error_calibrated"
        try:
            temperature, shift = float(stored["temperature"]), float(stored["shift"])
            number = int(stored["num_detections"])
            errors = [None if stored[key] is None else float(stored[key]) for key in keys]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"score_calibration: expected a temperature, a shift and errors ({error})") from None
        if not (math.isfinite(temperature) and temperature > 0 and math.isfinite(shift)):
            raise ValueError(
                f"score_calibration: expected a temperature above 0 and a finite shift, got {temperature:g}, {shift:g}"
            )
        return ScoreCalibration(temperature, shift, number, *errors)


def fit_temperature(scores: np.ndarray, is_right: np.ndarray) -> float | None:
    """The temperature with the lowest negative log likelihood; None for fewer than `MIN_OF_EACH` right or wrong ones.

    Args:
        scores: (D,), 0..1.
        is_right: (D,) bool.
    """
    if min(is_right.sum(), (~is_right).sum()) < MIN_OF_EACH:
        return None
    scores, is_right = _sample(scores, is_right)
    logits = _logits(scores)
    # The likelihood is concave in 1 / temperature, so its slope has one zero.
    low, high = (1 / temperature for temperature in reversed(TEMPERATURES))
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        slope = logits @ (is_right - _sigmoid(logits * middle))
        low, high = (middle, high) if slope > 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def fit_scaling(scores: np.ndarray, is_right: np.ndarray) -> tuple[float, float] | None:
    """Temperature and shift with the lowest negative log likelihood, of `fit_temperature`'s arguments.

    None for fewer than `MIN_OF_EACH` right or wrong ones, or if higher scores are no likelier to be right.
    """
    if min(is_right.sum(), (~is_right).sum()) < MIN_OF_EACH:
        return None
    scores, is_right = _sample(scores, is_right)
    inputs = np.stack([_logits(scores), np.ones(len(scores))], axis=1)  # (D, 2)
    start = np.array([1.0, 0.0])  # nothing changes

    def loss(weights: np.ndarray) -> float:
        margins = (inputs @ weights) * np.where(is_right, 1, -1)
        return float(np.logaddexp(0, -margins).sum() + _RIDGE / 2 * ((weights - start) ** 2).sum())

    weights = start
    for _ in range(_STEPS):  # Newton's method; the loss is convex
        chances = _sigmoid(inputs @ weights)
        slope = inputs.T @ (chances - is_right) + _RIDGE * (weights - start)
        curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + _RIDGE * np.eye(2)
        step, best = np.linalg.solve(curvature, slope), loss(weights)
        while np.abs(step).max() > _SMALLEST_STEP and loss(weights - step) > best:
            step = step / 2
        if np.abs(step).max() <= _SMALLEST_STEP:
            break
        weights = weights - step
    return (float(1 / weights[0]), float(weights[1])) if weights[0] >= 1 / TEMPERATURES[1] else None


def scaled(scores: np.ndarray, temperature: float, shift: float = 0.0) -> np.ndarray:
    """What becomes of scores (D,)."""
    return _sigmoid(_logits(scores) / temperature + shift)


@dataclass(frozen=True)
class Reliability:
    """Scores by bins of equal width between 0 and 1; a bin without detections has the values 0."""

    num: tuple[int, ...]
    mean_score: tuple[float, ...]
    share_right: tuple[float, ...]

    @property
    def error(self) -> float:
        """Expected calibration error: |mean score - share that is right|, mean over detections."""
        num, score, share = (np.array(values, float) for values in (self.num, self.mean_score, self.share_right))
        return float(num @ abs(score - share) / max(num.sum(), 1))


def reliability(scores: np.ndarray, is_right: np.ndarray) -> Reliability:
    """Of D detections; a score of 1 is in the last bin."""
    bins = np.minimum((scores.astype(np.float64) * NUM_BINS).astype(int), NUM_BINS - 1)
    num = np.bincount(bins, minlength=NUM_BINS)
    sums = (np.bincount(bins, weights=values, minlength=NUM_BINS) for values in (scores, is_right))
    mean_score, share_right = (tuple((one / np.maximum(num, 1)).tolist()) for one in sums)
    return Reliability(tuple(num.tolist()), mean_score, share_right)


def _sample(scores: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(scores) <= MAX_FITTED:
        return scores, is_right
    rows = np.random.default_rng(0).permutation(len(scores))[:MAX_FITTED]
    return scores[rows], is_right[rows]


def _logits(scores: np.ndarray) -> np.ndarray:
    inside = np.clip(scores.astype(np.float64), _CLOSEST, 1 - _CLOSEST)
    return np.log(inside) - np.log1p(-inside)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
