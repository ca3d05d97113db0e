"""Which class was taken for which, with what was missed, invented and counted twice (K classes)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from maskrcnn.evaluation.object_errors import ObjectErrors


@dataclass(frozen=True)
class Confusion:
    """Counts of objects and predictions of a set of images at one score threshold.

    Every object is in `counts` or `missed`; every prediction is in `counts`, `double`, `spurious` or `ignored`.
    """

    counts: tuple[tuple[int, ...], ...]
    """[true class][predicted class] of the objects that were found; the right ones are on the diagonal."""
    missed: tuple[int, ...]
    """By true class."""
    double: tuple[int, ...]
    """Predictions on an object that another prediction had found, by the true class of the object."""
    double_of_another_class: int
    """How many of these call the object something else than the prediction that found it."""
    spurious: tuple[int, ...]
    """Predictions where no object is, or not enough of it; by predicted class."""
    ignored: int
    """Predictions inside regions that are annotated as crowd."""
    merged: int
    """Predictions that hold two objects or more of their class; all of these but at most one are among the missed."""
    split: int
    """Objects in two parts or more; all of the parts but at most one are among the spurious."""


def confusion(images: Iterable[ObjectErrors], num_classes: int) -> Confusion:
    """The sum over `images`."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    missed, double, spurious = np.zeros((3, num_classes), np.int64)
    ignored = merged = split = double_of_another_class = 0
    for errors in images:
        is_hit, is_double = errors.hit >= 0, errors.double_of >= 0
        np.add.at(counts, (errors.labels[errors.hit[is_hit]], errors.predicted_labels[is_hit]), 1)
        missed += np.bincount(errors.labels[errors.is_missed], minlength=num_classes)
        double += np.bincount(errors.labels[errors.double_of[is_double]], minlength=num_classes)
        spurious += np.bincount(errors.predicted_labels[errors.is_spurious], minlength=num_classes)
        first_label = np.full(len(errors.labels), -1)
        first_label[errors.hit[is_hit]] = errors.predicted_labels[is_hit]
        is_other = first_label[errors.double_of[is_double]] != errors.predicted_labels[is_double]
        double_of_another_class += int(is_other.sum())
        ignored += int(errors.is_ignored.sum())
        merged += int(errors.is_merged.sum())
        split += int(errors.is_split.sum())
    return Confusion(
        counts=tuple(tuple(row) for row in counts.tolist()),
        missed=tuple(missed.tolist()),
        double=tuple(double.tolist()),
        double_of_another_class=double_of_another_class,
        spurious=tuple(spurious.tolist()),
        ignored=ignored,
        merged=merged,
        split=split,
    )
