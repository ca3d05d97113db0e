"""How sure a count is: a low and a high number of objects for every image, class and folder.

Split conformal prediction (arXiv:1604.04173): on images that were held back, the error of each count is divided by a
spread that the scores give; the interval of a new image is its count plus and minus the quantile of those errors
times its own spread. It holds for images of the same kind as those held back, whatever the network is.

I images, K classes, n held-back images in which a class occurs.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrcnn.structures.instances import Instances

LEVEL = 0.9
"""Share of images whose true count should lie in the interval."""
MAX_ERRORS = 500
"""Errors of a class that are kept; of more, a sample."""
NUM_DRAWS = 1000
"""Of the error of a whole folder."""
MAX_DRAWN = 1000
"""Pictures of which each error is drawn by itself."""

Interval = tuple[int, int]
"""The lowest and the highest count, both included."""


def spreads(labels: np.ndarray, scores: np.ndarray, num_classes: int) -> np.ndarray:
    """(K + 1,) how far the count of each class, and last of all classes together, may be off, up to a factor.

    A detection of score s counts as a coin that lands on "object" with probability s, so its variance is s (1 - s);
    1 is added for what was not detected.

    Args:
        labels, scores: (D,) of the detections that are counted.
    """
    scores = np.asarray(scores, np.float64)
    variance = np.bincount(labels, scores * (1 - scores), minlength=num_classes)
    return np.sqrt(1 + np.append(variance, variance.sum()))


@dataclass(frozen=True)
class CountIntervals:
    """What held-back images say about the errors of counts; stored with the weights."""

    class_names: tuple[str, ...]
    score_threshold: float
    """At which those images were counted; at another one the intervals do not hold."""
    errors: tuple[tuple[float, ...], ...]
    """K + 1 lists, n long, of (true - predicted) / spread, for each class and last for all together; of the images in
    which the class is annotated or was found, since the others would be covered in any case."""

    @staticmethod
    def fit(
        class_names: Sequence[str], score_threshold: float, true: np.ndarray, predicted: np.ndarray, spread: np.ndarray
    ) -> "CountIntervals":
        """From annotated images that were not trained on.

        Args:
            true, predicted: (I, K) numbers of objects.
            spread: (I, K + 1) of `spreads`.
        """
        true, predicted = _with_total(true), _with_total(predicted)
        scaled = (true - predicted) / spread
        concerns = (true > 0) | (predicted > 0)
        errors = tuple(_sample(scaled[concerns[:, k], k]) for k in range(true.shape[1]))
        return CountIntervals(tuple(class_names), score_threshold, errors)

    def of(self, counts: np.ndarray, spread: np.ndarray, level: float = LEVEL) -> list[Interval | None]:
        """The interval of each class of one image, and last of its total; None where there were too few images.

        At 0.9 nine are enough; the more there are, the less the intervals depend on which.

        Args:
            counts: (K,) numbers of objects.
            spread: (K + 1,) of `spreads`.
            level: 0..1, the share of images whose count lies in their interval.
        """
        factors = self.factors(level)
        found = zip(_with_total(counts[None])[0].tolist(), spread.tolist(), factors, strict=True)
        return [None if factor is None else _interval(count, factor * width) for count, width, factor in found]

    def of_instances(
        self, instances: Instances, level: float = LEVEL
    ) -> tuple[dict[str, Interval | None], Interval | None]:
        """The interval of each class, by name, and of the total of what was found in one image that was seen whole.

        Raises:
            ValueError: instances of other classes.
        """
        if instances.class_names != self.class_names:
            raise ValueError(
                f"count intervals are known of {', '.join(self.class_names)}, got {', '.join(instances.class_names)}"
            )
        labels, num_classes = instances.labels.cpu().numpy(), len(self.class_names)
        spread = spreads(labels, instances.scores.detach().cpu().numpy(), num_classes)
        found = self.of(np.bincount(labels, minlength=num_classes), spread, level)
        return dict(zip(self.class_names, found[:-1], strict=True)), found[-1]

    def factors(self, level: float = LEVEL) -> list[float | None]:
        """What the spread of each class, and last of the total, is multiplied by."""
        return [_quantile(np.abs(errors), level) for errors in self.errors]

    def of_sum(self, total: int, spread: np.ndarray, level: float = LEVEL, num_checked: int = 0) -> Interval | None:
        """The interval of the objects in many images; None where there were too few to calibrate on.

        Errors of images partly cancel. So that the interval also knows how little n images say about all, each of
        the draws takes another sample of them (the bootstrap).

        Args:
            total: number of objects in all of them.
            spread: (I,) of the total of each image, without those that were counted by hand: they have no error.
            num_checked: number of the latter, which tell as much about the errors of the others as held-back ones.
        """
        errors = np.array(self.errors[-1])
        if _quantile(abs(errors), level) is None:
            return None
        rng = np.random.default_rng(0)
        draws = np.empty(NUM_DRAWS)
        for i in range(NUM_DRAWS):
            seen = rng.choice(errors, len(errors) + num_checked)
            if len(spread) <= MAX_DRAWN:
                draws[i] = rng.choice(seen, len(spread)) @ spread
            else:  # a sum of so many is normal
                draws[i] = rng.normal(seen.mean() * spread.sum(), seen.std() * math.sqrt(spread @ spread))
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return max(0, math.ceil(total + min(low, 0))), math.floor(total + max(high, 0))

    def num_to_check(self, spread: np.ndarray, level: float = LEVEL) -> int | None:
        """How many images somebody has to count by hand for the interval of the sum to be half as wide.

        Those are the first of `check_order`. None where there were too few images to calibrate on.
        """

        def width(num_checked: int) -> float:
            rest = spread[check_order(spread)[num_checked:]]
            interval = self.of_sum(10**9, rest, level, num_checked)  # far from 0, where it would be cut
            return math.inf if interval is None else interval[1] - interval[0]

        whole = width(0)
        if math.isinf(whole):
            return None
        low, high = 0, len(spread)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if width(middle) <= whole / 2 else (middle + 1, high)
        return low

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "class_names": list(self.class_names),
            "score_threshold": self.score_threshold,
            "errors": [list(errors) for errors in self.errors],
        }

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> "CountIntervals":
        """What `to_dict` gave.

        Raises:
            ValueError: anything else.
        """
        try:
            names, threshold = tuple(stored["class_names"]), float(stored["score_threshold"])
            errors = tuple(tuple(map(float, one)) for one in stored["errors"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"count_intervals: expected class names, a score threshold and errors ({error})") from None
        is_right = len(errors) == len(names) + 1 and all(isinstance(name, str) for name in names)
        if not is_right or not all(map(math.isfinite, itertools.chain(*errors))):
            raise ValueError("count_intervals: expected finite errors of every class and of the total")
        return CountIntervals(names, threshold, errors)


def check_order(spread: np.ndarray) -> np.ndarray:
    """(I,) images in the order in which to count them by hand: drawn at random, the less sure the likelier.

    Drawn, so that those that were checked tell about the others. The order is the same at every call.
    """
    keys = np.random.default_rng(0).exponential(size=len(spread)) / spread
    return np.argsort(keys, kind="stable")


@dataclass(frozen=True)
class Coverage:
    """How the intervals did on images that they were not made from, over many random halves of a set."""

    level: float
    num_images: int
    num_halves: int
    share: float
    """Of the total counts of the other half, those inside their interval; 0..1, about `level` where all is well."""
    half_width: float
    """Mean over images, objects."""


def coverage(
    true: np.ndarray, predicted: np.ndarray, spread: np.ndarray, level: float = LEVEL, num_halves: int = 500
) -> Coverage | None:
    """Of total counts; None where half of the images is too few to calibrate on.

    Args:
        true, predicted: (I,) numbers of objects.
        spread: (I,) of the total.
    """
    num_images, rng = len(true), np.random.default_rng(0)
    shares, widths = [], []
    for _ in range(num_halves):
        held_back, others = np.split(rng.permutation(num_images), [num_images // 2])
        concerns = held_back[(true[held_back] > 0) | (predicted[held_back] > 0)]
        factor = _quantile(abs(true - predicted)[concerns] / spread[concerns], level)
        if factor is None:
            return None
        low = np.maximum(np.ceil(predicted - factor * spread), 0)[others]
        high = np.floor(predicted + factor * spread)[others]
        shares.append(((low <= true[others]) & (true[others] <= high)).mean())
        widths.append((high - low).mean() / 2)
    return Coverage(level, num_images, num_halves, float(np.mean(shares)), float(np.mean(widths)))


def _quantile(errors: np.ndarray, level: float) -> float | None:
    """The error that a new image exceeds with a probability of at most 1 - level; None for too few errors."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level:g}")
    rank = math.ceil((len(errors) + 1) * level)
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else None


def _interval(count: int, half_width: float) -> Interval:
    return max(0, math.ceil(count - half_width)), math.floor(count + half_width)


def _with_total(counts: np.ndarray) -> np.ndarray:
    """(I, K) -> (I, K + 1)"""
    return np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)


def _sample(errors: np.ndarray) -> tuple[float, ...]:
    """At most so many as are kept, with four digits."""
    kept = errors if len(errors) <= MAX_ERRORS else np.random.default_rng(0).permutation(errors)[:MAX_ERRORS]
    return tuple(float(f"{error:.4g}") for error in kept)
