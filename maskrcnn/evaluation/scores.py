"""Numbers for a set of images: how well the masks fit and how well the objects were counted.

I images, T IoU thresholds, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn.evaluation.mask_matches import MaskMatches, Tally

SCORE_THRESHOLDS = tuple(i / 100 for i in range(5, 100))
"""0.05 to 0.99."""
PRINTED_STEPS = 20
"""A table prints the thresholds that are multiples of 1 / 20, 0.05, and the best ones."""


@dataclass(frozen=True)
class MaskScore:
    """TP / (TP + FP + FN) in 0..1, over matches of masks within a class: 1 is perfect.

    `image_mean` and `pooled` are means over `iou_thresholds`; the tuples `_at` hold one value for each of them.
    `image_mean` gives every image the same weight (one without objects and predictions counts as 1), `pooled` gives
    it to every object: TP, FP and FN are summed over the set first. The three counts are those at the first IoU, 0.50.
    """

    image_mean: float
    pooled: float
    iou_thresholds: tuple[float, ...]
    image_mean_at: tuple[float, ...]
    pooled_at: tuple[float, ...]
    true_positives: int
    false_positives: int
    false_negatives: int


@dataclass(frozen=True)
class CountError:
    """Predicted against true numbers of objects.

    The error of an image is the sum over classes of |predicted - true|, so a dog counted as a cat is wrong twice;
    `mae` and `rmse` are over images. `bias` is the mean of predicted - true: positive where too much is counted.
    `total_relative_error` is |total_predicted - total_true| / total_true, in which errors of classes and images cancel;
    None where there is no true object.
    """

    mae: float
    rmse: float
    bias: float
    total_predicted: int
    total_true: int
    total_relative_error: float | None


@dataclass(frozen=True)
class ThresholdRow:
    """What a score threshold would give; the mask scores are at IoU 0.50."""

    score_threshold: float
    mae: float
    total_relative_error: float | None
    total_predicted: int
    total_true: int
    image_mean50: float
    pooled50: float


@dataclass(frozen=True)
class ThresholdSweep:
    """The same predictions judged at each score threshold, ascending."""

    rows: tuple[ThresholdRow, ...]

    @property
    def best_count(self) -> ThresholdRow:
        """The lowest MAE; of equals, the lowest total relative error; of equals, the middle one."""
        return _middle_of_best(self.rows, lambda row: (row.mae, row.total_relative_error or 0.0))

    @property
    def best_mask_score(self) -> ThresholdRow:
        """The highest TP / (TP + FP + FN) at IoU 0.50, mean over images; of equals, the pooled one decides.

        Of equals, the middle one.
        """
        return _middle_of_best(self.rows, lambda row: (-row.image_mean50, -row.pooled50))

    def table(self) -> str:
        """One line for each of a part of the thresholds."""
        lines = ["score >=       MAE   total error   predicted      true   mask score at IoU 0.50: image mean   pooled"]
        best_count, best_mask_score = self.best_count, self.best_mask_score
        for row in self.rows:
            marks = " <- best count" * (row is best_count) + " <- best mask score" * (row is best_mask_score)
            steps = row.score_threshold * PRINTED_STEPS
            if not marks and abs(steps - round(steps)) > 1e-9:
                continue
            error = "-" if row.total_relative_error is None else f"{row.total_relative_error:.1%}"
            lines.append(
                f"    {row.score_threshold:.2f}  {row.mae:8.2f}  {error:>12}  {row.total_predicted:>10}  "
                f"{row.total_true:>8}  {row.image_mean50:35.3f}  {row.pooled50:7.3f}{marks}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class SetScore:
    """A set of images at one score threshold, and in `sweep` at all of them."""

    num_images: int
    mask_score: MaskScore
    count: CountError
    class_counts: tuple[CountError, ...]
    sweep: ThresholdSweep


def score_set(matches: MaskMatches, score_threshold: float) -> SetScore:
    """All images of `matches` taken together."""
    tally = matches.tally(score_threshold)
    num_images, num_classes = tally.true.shape
    return SetScore(
        num_images=num_images,
        mask_score=mask_score(tally),
        count=count_error(tally.predicted, tally.true),
        class_counts=tuple(count_error(tally.predicted[:, [k]], tally.true[:, [k]]) for k in range(num_classes)),
        sweep=sweep_thresholds(matches),
    )


def image_mask_scores(tally: Tally) -> np.ndarray:
    """(T, I) TP / (TP + FP + FN) of every image."""
    return _ratio(tally.true_positives, tally.false_positives, tally.false_negatives)


def mask_score(tally: Tally) -> MaskScore:
    """Without any image the score is 1: nothing was to find and nothing was found."""
    hits, false_alarms, misses = (
        counts.sum(axis=1) for counts in (tally.true_positives, tally.false_positives, tally.false_negatives)
    )
    pooled = _ratio(hits, false_alarms, misses)
    per_image = image_mask_scores(tally)
    image_mean = per_image.mean(axis=1) if per_image.size else np.ones(len(pooled))
    return MaskScore(
        image_mean=float(image_mean.mean()),
        pooled=float(pooled.mean()),
        iou_thresholds=tally.iou_thresholds,
        image_mean_at=tuple(image_mean.tolist()),
        pooled_at=tuple(pooled.tolist()),
        true_positives=int(hits[0]),
        false_positives=int(false_alarms[0]),
        false_negatives=int(misses[0]),
    )


def count_error(predicted: np.ndarray, true: np.ndarray) -> CountError:
    """Of two (I, K) arrays of numbers of objects."""
    difference = predicted - true
    num_images = max(len(true), 1)
    errors = abs(difference).sum(axis=1)
    total_predicted, total_true = int(predicted.sum()), int(true.sum())
    return CountError(
        mae=float(errors.sum() / num_images),
        rmse=float(np.sqrt((errors**2).sum() / num_images)),
        bias=float(difference.sum() / num_images),
        total_predicted=total_predicted,
        total_true=total_true,
        total_relative_error=abs(total_predicted - total_true) / total_true if total_true else None,
    )


def sweep_thresholds(matches: MaskMatches, score_thresholds: Sequence[float] = SCORE_THRESHOLDS) -> ThresholdSweep:
    """Judges `matches` at each of `score_thresholds`; below the lowest score in the results it can't tell."""
    rows = []
    for score_threshold in sorted(score_thresholds):
        tally = matches.tally(score_threshold)
        masks, count = mask_score(tally), count_error(tally.predicted, tally.true)
        rows.append(
            ThresholdRow(
                score_threshold=score_threshold,
                mae=count.mae,
                total_relative_error=count.total_relative_error,
                total_predicted=count.total_predicted,
                total_true=count.total_true,
                image_mean50=masks.image_mean_at[0],
                pooled50=masks.pooled_at[0],
            )
        )
    return ThresholdSweep(tuple(rows))


def _middle_of_best(rows: Sequence[ThresholdRow], badness: Callable[[ThresholdRow], tuple[float, ...]]) -> ThresholdRow:
    best = min(map(badness, rows))
    equals = [row for row in rows if badness(row) == best]
    return equals[len(equals) // 2]


def _ratio(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray) -> np.ndarray:
    total = hits + false_alarms + misses
    return np.where(total == 0, 1.0, hits / np.maximum(total, 1))
