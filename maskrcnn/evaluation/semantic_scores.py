"""Semantic maps judged against true ones: a confusion of pixels, and what follows from it.

K classes; I images.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

BOUNDARY_SHARE = 0.0075
"""Of the image's diagonal: how far apart two boundaries may be and still agree (Csurka et al., BMVC 2013)."""


@dataclass(frozen=True)
class SemanticScore:
    """All in 0..1, over the pixels of all images that have a true class; None where nothing defines the value.

    IoU and Dice of a class are over the pooled pixels; means are over the classes that are in either map.
    """

    class_names: tuple[str, ...]
    pixel_accuracy: float | None
    iou: tuple[float | None, ...]
    """TP / (TP + FP + FN) of each class."""
    dice: tuple[float | None, ...]
    """2 TP / (2 TP + FP + FN) of each class; the F score of its pixels."""
    mean_iou: float | None
    mean_dice: float | None
    frequency_weighted_iou: float | None
    """The mean of IoU weighted by the true pixels of each class."""
    boundary_f: tuple[float | None, ...]
    """Of each class the mean over images of the F score of its boundary; images without the class do not count."""
    mean_boundary_f: float | None
    confusion: np.ndarray
    """(K, K) int64: pixels by true class (row) and predicted class (column); the last column of those of no class is
    not in it, they are errors of their true class."""
    num_images: int

    def to_dict(self) -> dict:
        """Only what JSON knows."""
        return dataclasses.asdict(self) | {"confusion": self.confusion.tolist()}


def pixel_confusion(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K + 1) int64: pixels by true class and by predicted one, the last column for those predicted as no class.

    `true` and `predicted` are integers (H, W); a true value of K or more is of no class, and counts nowhere.

    Raises:
        ValueError: maps of different shapes.
    """
    if true.shape != predicted.shape:
        raise ValueError(f"expected maps of one size, got {true.shape} and {predicted.shape}")
    is_judged = true < num_classes
    rows = true[is_judged].astype(np.int64)
    columns = np.minimum(predicted[is_judged].astype(np.int64), num_classes)
    cells = np.bincount(rows * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1))
    return cells.reshape(num_classes, num_classes + 1)


def boundary_f(true: np.ndarray, predicted: np.ndarray, reach_px: float, judged: np.ndarray) -> float | None:
    """F score of the boundaries of two masks, bool (H, W); None where neither has one.

    Precision is the share of the predicted boundary with true boundary within `reach_px`, recall the share of the true
    one with predicted boundary as near. A boundary is the pixels of a mask beside a pixel outside of it; the border of
    the image is none. Pixels that are not `judged`, bool (H, W), are left out.
    """
    rims = _rim(true) & judged, _rim(predicted) & judged
    numbers = [int(np.count_nonzero(rim)) for rim in rims]
    if not any(numbers):
        return None
    if not all(numbers):
        return 0.0
    near = [
        cv2.distanceTransform((~rim).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= reach_px for rim in rims
    ]
    recall = np.count_nonzero(rims[0] & near[1]) / numbers[0]
    precision = np.count_nonzero(rims[1] & near[0]) / numbers[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass(frozen=True)
class ImageTally:
    """What one image adds to the scores of a set."""

    confusion: np.ndarray
    """As of `pixel_confusion`."""
    boundaries: dict[int, float]
    """Boundary F of each class that is in either map."""

    @property
    def mean_iou(self) -> float | None:
        """Over the classes that are in either map of this image."""
        return _mean(iou_of(self.confusion))


def tally(true: np.ndarray, predicted: np.ndarray, num_classes: int, reach_px: float | None = None) -> ImageTally:
    """Of maps as `semantic_scores` takes them."""
    confusion = pixel_confusion(true, predicted, num_classes)
    reach = max(1.0, BOUNDARY_SHARE * math.hypot(*true.shape)) if reach_px is None else reach_px
    judged = true < num_classes
    boundaries = {}
    for k in np.union1d(np.unique(true), np.unique(predicted)).tolist():
        value = boundary_f(true == k, predicted == k, reach, judged) if k < num_classes else None
        if value is not None:
            boundaries[k] = value
    return ImageTally(confusion, boundaries)


def semantic_scores(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], class_names: Sequence[str], reach_px: float | None = None
) -> SemanticScore:
    """Judges (true, predicted) maps, integers (H, W) with class indices; a true value of K or more counts nowhere.

    `reach_px` None takes `BOUNDARY_SHARE` of the diagonal of each image, at least a pixel.

    Raises:
        ValueError: two maps of one image have different sizes.
    """
    return score_of((tally(true, predicted, len(class_names), reach_px) for true, predicted in pairs), class_names)


def score_of(tallies: Iterable[ImageTally], class_names: Sequence[str]) -> SemanticScore:
    """The scores of the images that these are of."""
    num_classes, num_images = len(class_names), 0
    confusion = np.zeros((num_classes, num_classes + 1), np.int64)
    of_boundaries: list[list[float]] = [[] for _ in class_names]
    for one in tallies:
        confusion += one.confusion
        num_images += 1
        for k, value in one.boundaries.items():
            of_boundaries[k].append(value)
    hits = np.diag(confusion)
    true_pixels, predicted_pixels = confusion.sum(axis=1), confusion[:, :num_classes].sum(axis=0)
    total = int(true_pixels.sum())
    iou = iou_of(confusion)
    dice = tuple(
        _ratio(2 * hit, area)
        for hit, area in zip(hits.tolist(), (true_pixels + predicted_pixels).tolist(), strict=True)
    )
    boundaries = tuple(_mean(values) for values in of_boundaries)
    weighted = sum((value or 0.0) * pixels for value, pixels in zip(iou, true_pixels.tolist(), strict=True))
    return SemanticScore(
        class_names=tuple(class_names),
        pixel_accuracy=_ratio(int(hits.sum()), total),
        iou=iou,
        dice=dice,
        mean_iou=_mean(iou),
        mean_dice=_mean(dice),
        frequency_weighted_iou=_ratio(weighted, total),
        boundary_f=boundaries,
        mean_boundary_f=_mean(boundaries),
        confusion=confusion[:, :num_classes],
        num_images=num_images,
    )


def iou_of(confusion: np.ndarray) -> tuple[float | None, ...]:
    """TP / (TP + FP + FN) of each class, of a `pixel_confusion`; None for classes that are nowhere."""
    hits, num_classes = np.diag(confusion), len(confusion)
    union = confusion.sum(axis=1) + confusion[:, :num_classes].sum(axis=0) - hits
    return tuple(_ratio(hit, area) for hit, area in zip(hits.tolist(), union.tolist(), strict=True))


def _rim(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that have one outside of it above, below or beside them."""
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    return mask & ~inside


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
