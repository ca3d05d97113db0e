"""Semantic metrics: on paper, beside slow versions, and at their ends."""

import numpy as np
import pytest

from maskrcnn.evaluation.semantic_scores import boundary_f, pixel_confusion, semantic_scores

NAMES = ("ground", "cat", "dog")
RNG = np.random.default_rng(0)
TRUE = [RNG.integers(0, 4, (13, 17)).astype(np.uint8) for _ in range(3)]  # 3 is of no class
PREDICTED = [np.where(RNG.random((13, 17)) < 0.6, true, RNG.integers(0, 3, (13, 17))).astype(np.uint8) for true in TRUE]


def test_on_paper():
    # True 0 0 1 1, predicted 0 1 1 1: class 0 has TP 1, FN 1; class 1 has TP 2, FP 1.
    score = semantic_scores([(np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]]))], NAMES)
    assert score.pixel_accuracy == 3 / 4
    assert score.iou == (1 / 2, 2 / 3, None)
    assert score.dice == (2 / 3, 4 / 5, None)
    assert score.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert score.frequency_weighted_iou == pytest.approx(0.5 * (1 / 2) + 0.5 * (2 / 3))
    assert score.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_beside_a_loop_over_pixels():
    score = semantic_scores(zip(TRUE, PREDICTED, strict=True), NAMES)
    maps = zip(TRUE, PREDICTED, strict=True)
    pixels = [(int(t), int(p)) for a, b in maps for t, p in zip(a.flat, b.flat, strict=True) if t < 3]
    assert score.pixel_accuracy == pytest.approx(sum(t == p for t, p in pixels) / len(pixels))
    weighted = 0.0
    for k in range(3):
        tp = sum(t == p == k for t, p in pixels)
        fp, fn = sum(p == k != t for t, p in pixels), sum(t == k != p for t, p in pixels)
        assert score.iou[k] == pytest.approx(tp / (tp + fp + fn))
        assert score.dice[k] == pytest.approx(2 * tp / (2 * tp + fp + fn))
        weighted += tp / (tp + fp + fn) * (tp + fn) / len(pixels)
    assert score.frequency_weighted_iou == pytest.approx(weighted)
    assert score.num_images == 3


def slow_boundary_f(true: np.ndarray, predicted: np.ndarray, reach: float, judged: np.ndarray) -> float | None:
    def rim(mask: np.ndarray) -> list[tuple[int, int]]:
        height, width = mask.shape
        return [
            (y, x)
            for y, x in np.argwhere(mask & judged).tolist()
            if any(
                0 <= y + dy < height and 0 <= x + dx < width and not mask[y + dy, x + dx]
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
            )
        ]

    def share(of: list[tuple[int, int]], near: list[tuple[int, int]]) -> float:
        return sum(any((y - v) ** 2 + (x - u) ** 2 <= reach**2 for v, u in near) for y, x in of) / len(of)

    a, b = rim(true), rim(predicted)
    if not a or not b:
        return None if not a and not b else 0.0
    recall, precision = share(a, b), share(b, a)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("reach", [1.0, 2.0, 3.5])
def test_boundaries_beside_a_loop(reach: float):
    y, x = np.mgrid[:30, :40]
    for k, (cx, cy, r) in enumerate([(20, 15, 8), (24, 17, 9), (5, 5, 9), (200, 0, 3)]):
        true, predicted = (x - 20) ** 2 + (y - 15) ** 2 < 70, (x - cx) ** 2 + (y - cy) ** 2 < r**2
        judged = (x + y) % 5 > 0 if k == 1 else np.ones_like(true)
        expected = slow_boundary_f(true, predicted, reach, judged)
        assert boundary_f(true, predicted, reach, judged) == pytest.approx(expected)
    assert boundary_f(x < 0, x < 0, reach, x >= 0) is None


def test_the_ends_of_the_scale():
    same = semantic_scores(zip(TRUE, TRUE, strict=True), NAMES)
    assert (same.pixel_accuracy, same.mean_iou, same.mean_dice) == (1.0, 1.0, 1.0)
    assert same.frequency_weighted_iou == 1.0
    assert same.mean_boundary_f == 1.0
    none = semantic_scores([(np.full((4, 4), 3), np.zeros((4, 4), int))], NAMES)
    assert none.pixel_accuracy is None
    assert none.mean_iou is None
    assert semantic_scores([], NAMES).to_dict()["mean_iou"] is None


def test_a_pixel_predicted_as_no_class_is_an_error():
    cells = pixel_confusion(np.array([[0, 0, 1, 255]]), np.array([[0, 255, 1, 1]]), 2)
    assert cells.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert semantic_scores([(np.array([[0, 0]]), np.array([[0, 255]]))], ("a",)).iou == (0.5,)
    with pytest.raises(ValueError, match=r"expected maps of one size, got \(1, 2\) and \(2, 2\)"):
        pixel_confusion(np.zeros((1, 2), int), np.zeros((2, 2), int), 2)
