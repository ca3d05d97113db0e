"""Scores and count errors of a set, on paper (T thresholds, I images, K classes)."""

import numpy as np
import pytest

from maskrcnn.evaluation.mask_matches import Tally
from maskrcnn.evaluation.scores import (
    ThresholdRow,
    ThresholdSweep,
    count_error,
    image_mask_scores,
    mask_score,
)


def tally(hits: list[list[int]], false_alarms: list[list[int]], misses: list[list[int]]) -> Tally:
    num_images = len(hits[0])
    nothing = np.zeros((num_images, 1), np.int64)
    return Tally(
        iou_thresholds=(0.5, 0.75)[: len(hits)],
        true_positives=np.array(hits).reshape(len(hits), num_images),
        false_positives=np.array(false_alarms).reshape(len(hits), num_images),
        false_negatives=np.array(misses).reshape(len(hits), num_images),
        predicted=nothing,
        true=nothing,
    )


def test_masks_on_paper() -> None:
    # Two images and two IoUs. At 0.50: 2 of 2 + 1 + 1, and an empty image, which counts as 1. At 0.75: 1 of 4, and
    # a false alarm in the empty one.
    judged = tally([[2, 0], [1, 0]], [[1, 0], [2, 1]], [[1, 0], [1, 0]])
    assert image_mask_scores(judged).tolist() == [[0.5, 1.0], [0.25, 0.0]]
    score = mask_score(judged)
    assert score.image_mean_at == (0.75, 0.125)
    assert score.pooled_at == (0.5, 0.2)
    assert score.image_mean == pytest.approx(0.4375)
    assert score.pooled == pytest.approx(0.35)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 1, 1)  # at the first IoU


def test_without_an_image_nothing_was_to_find() -> None:
    score = mask_score(tally([[], []], [[], []], [[], []]))
    assert (score.image_mean, score.pooled) == (1.0, 1.0)
    assert score.image_mean_at == score.pooled_at == (1.0, 1.0)


def test_counts_on_paper() -> None:
    # A dog called a cat in the first image is wrong twice; one too many in the second.
    error = count_error(np.array([[3, 1], [4, 0]]), np.array([[2, 2], [3, 0]]))
    assert (error.mae, error.bias) == (1.5, 0.5)
    assert error.rmse == pytest.approx(np.sqrt((4 + 1) / 2))
    assert (error.total_predicted, error.total_true, error.total_relative_error) == (8, 7, pytest.approx(1 / 7))
    nothing = count_error(np.zeros((0, 2)), np.zeros((0, 2)))
    assert (nothing.mae, nothing.rmse, nothing.bias, nothing.total_relative_error) == (0, 0, 0, None)


def row(threshold: float, mae: float = 1.0, relative: float | None = 0.5, masks: float = 0.5) -> ThresholdRow:
    return ThresholdRow(threshold, mae, relative, 9, 8, masks, masks)


def test_of_equals_the_middle_one_is_best() -> None:
    # 0.2 to 0.4 have the lowest error; of 0.5 the total is further off.
    rows = (row(0.1, 2.0), row(0.2, 0.5), row(0.3, 0.5), row(0.4, 0.5), row(0.5, 0.5, 0.6), row(0.6, masks=0.9))
    sweep = ThresholdSweep(rows)
    assert sweep.best_count.score_threshold == 0.3
    assert sweep.best_mask_score.score_threshold == 0.6
    assert ThresholdSweep((row(0.1, 1.0, None),)).best_count.score_threshold == 0.1


def test_a_table_has_multiples_of_a_twentieth_and_the_best() -> None:
    rows = tuple(row(i / 100, mae=abs(i - 33) / 10, masks=1 - abs(i - 47) / 100) for i in range(5, 100))
    header, *lines = ThresholdSweep(rows).table().splitlines()
    assert header.startswith("score >=")
    shown = [float(line.split()[0]) for line in lines]
    assert shown == sorted([*(i / 100 for i in range(5, 100, 5)), 0.33, 0.47])
    assert [float(line.split()[0]) for line in lines if "best count" in line] == [0.33]
    assert [float(line.split()[0]) for line in lines if "best mask score" in line] == [0.47]
    assert " 50.0% " in lines[0]
    assert "     -  " in ThresholdSweep((row(0.5, 1.0, None),)).table()
