"""What became of every object and of every prediction of an image: found, missed, counted twice, merged, split.

G objects and D predictions of one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.evaluation.mask_matches import CROWD_SHARE
from maskrcnn.structures.instances import Instances

HIT_IOU = 0.5
"""A prediction finds an object if the IoU of the masks is above this."""
COVER_SHARE = 0.5
"""An object is in a prediction, or a prediction is a part of an object, with more than this share of its own area."""


@dataclass(frozen=True)
class ObjectErrors:
    """Indices of the other side, or -1; crowd regions are no objects.

    A prediction is one of: hit (`hit` >= 0), double (`double_of` >= 0), ignored (in a crowd region) or spurious.
    Merged and split say more about some of them, and stand beside that.
    """

    labels: np.ndarray  # (G,)
    predicted_labels: np.ndarray  # (D,)
    hit: np.ndarray  # (D,) the object that the prediction found, perhaps with another class
    double_of: np.ndarray  # (D,) the object that the prediction covers, but another prediction had found
    is_ignored: np.ndarray  # (D,) bool
    is_merged: np.ndarray  # (D,) bool: two objects or more of its class in one prediction
    part_of: np.ndarray  # (D,) the split object that the prediction is a part of
    is_missed: np.ndarray  # (G,) bool
    is_split: np.ndarray  # (G,) bool: two predictions or more of its class are parts of one object

    @property
    def is_spurious(self) -> np.ndarray:
        """(D,) bool: nothing is there, or not enough of it."""
        return (self.hit < 0) & (self.double_of < 0) & ~self.is_ignored

    @property
    def is_confused(self) -> np.ndarray:
        """(D,) bool: an object was found, of another class."""
        is_confused = self.hit >= 0
        is_confused[is_confused] = self.predicted_labels[is_confused] != self.labels[self.hit[is_confused]]
        return is_confused


def object_errors(truth: GroundTruth, instances: Instances) -> ObjectErrors:
    """Judges all of `instances`: choose those of a score beforehand.

    In descending order of score each prediction takes the free object with the highest IoU above `HIT_IOU`: first
    within its class, so that hits and ignored ones are those of `match_masks`; then what is left, whatever the class.
    One more prediction on an object that is found is a double. Objects that another prediction found are not merged,
    and hits on other objects are no parts, since true objects may lie inside one another.
    """
    labels, predicted = truth.labels, instances.labels.cpu().numpy()
    order = np.argsort(-instances.scores.cpu().numpy(), kind="stable")
    common, areas, predicted_areas = _overlaps(truth, instances)
    is_object = ~truth.is_crowd
    is_same = predicted[:, None] == labels
    ious = common / np.maximum(predicted_areas[:, None] + areas - common, 1) * is_object

    hit, finder = np.full(len(predicted), -1), np.full(len(labels), -1)
    in_crowd = ((common > CROWD_SHARE * predicted_areas[:, None]) & is_same & truth.is_crowd).any(axis=1)
    is_ignored = np.zeros(len(predicted), bool)
    for candidates in (ious * is_same, ious):
        close = candidates.max(axis=1, initial=0.0) > HIT_IOU
        for d in order[(close & (hit < 0) & ~is_ignored)[order]]:
            free = np.where(finder < 0, candidates[d], 0.0)
            if free.max() > HIT_IOU:
                hit[d] = free.argmax()
                finder[hit[d]] = d
        is_ignored = (hit < 0) & in_crowd
    double_of = np.full(len(predicted), -1)
    is_double = (hit < 0) & ~is_ignored & close  # `close` is now that of any class
    for d in np.flatnonzero(is_double):
        double_of[d] = ious[d].argmax()

    is_own = hit[:, None] == np.arange(len(labels))
    may_join = is_same & is_object & (is_own | (finder < 0))
    is_merged = (may_join & (common > COVER_SHARE * areas)).sum(axis=1) > 1
    is_spurious = (hit < 0) & ~is_double & ~is_ignored
    is_part = is_same & is_object & (is_own | is_spurious[:, None]) & (common > COVER_SHARE * predicted_areas[:, None])
    is_split = is_part.sum(axis=0) > 1
    part_of = np.full(len(predicted), -1)
    d, g = np.nonzero(is_part & is_split)
    part_of[d] = g
    return ObjectErrors(
        labels=labels,
        predicted_labels=predicted,
        hit=hit,
        double_of=double_of,
        is_ignored=is_ignored,
        is_merged=is_merged,
        part_of=part_of,
        is_missed=is_object & (finder < 0),
        is_split=is_split,
    )


def _overlaps(truth: GroundTruth, instances: Instances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels that prediction and object share, (D, G), pixels of the objects (G,) and of the predictions (D,)."""
    masks: list[Any] = instances.rles()
    objects: Sequence[Any] = list(truth.rles)
    areas = np.array([float(coco_mask.area(rle)) for rle in objects])
    predicted_areas = instances.areas().astype(np.float64)
    if not masks or not objects:
        return np.zeros((len(masks), len(objects))), areas, predicted_areas
    # With iscrowd, pycocotools divides by the area of the prediction alone.
    shares = np.asarray(coco_mask.iou(masks, objects, [1] * len(objects)))
    return np.rint(shares * predicted_areas[:, None]), areas, predicted_areas
