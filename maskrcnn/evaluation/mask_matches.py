"""Predicted masks matched with true ones, once, so that every score threshold can be judged from it.

I images, D predictions of all of them, T IoU thresholds, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.structures.instances import Instances

IOU_THRESHOLDS = tuple(i / 20 for i in range(10, 19))
"""0.50 to 0.90; above 0.50 two disjoint predictions can't claim the same object."""
CROWD_SHARE = 0.5
"""A prediction with more than this part of its area inside a crowd region is neither right nor wrong."""


@dataclass(frozen=True)
class Tally:
    """Hits and errors above one score threshold.

    A prediction that lies mostly in a crowd region, and is no hit, is left out everywhere; so `predicted` is the count
    of the other predictions, judged at IoU 0.50. Crowd regions aren't `true` objects.
    """

    iou_thresholds: tuple[float, ...]
    true_positives: np.ndarray  # (T, I)
    false_positives: np.ndarray  # (T, I)
    false_negatives: np.ndarray  # (T, I)
    predicted: np.ndarray  # (I, K)
    true: np.ndarray  # (I, K)


@dataclass(frozen=True)
class MaskMatches:
    """One row per prediction of the set, at every score."""

    iou_thresholds: tuple[float, ...]
    scores: np.ndarray  # (D,) float32, as the model gave them: 0.7 then passes a threshold of 0.7, as it does in torch
    labels: np.ndarray  # (D,)
    image_idx: np.ndarray  # (D,)
    is_hit: np.ndarray  # (T, D)
    is_in_crowd: np.ndarray  # (D,)
    num_true: np.ndarray  # (I, K) objects without crowd regions

    def of_images(self, keep: np.ndarray) -> "MaskMatches":
        """Those of the images that the boolean `keep` (I,) marks."""
        rows = keep[self.image_idx]
        return MaskMatches(
            iou_thresholds=self.iou_thresholds,
            scores=self.scores[rows],
            labels=self.labels[rows],
            image_idx=(np.cumsum(keep) - 1)[self.image_idx[rows]],
            is_hit=self.is_hit[:, rows],
            is_in_crowd=self.is_in_crowd[rows],
            num_true=self.num_true[keep],
        )

    def tally(self, score_threshold: float) -> Tally:
        """Counts the predictions with score >= `score_threshold`.

        That is the same as matching only those: they were served first.
        """
        num_images, num_classes = self.num_true.shape
        keep = self.scores >= np.float32(score_threshold)
        is_hit, image_idx = self.is_hit[:, keep], self.image_idx[keep]
        is_miss = ~is_hit & ~self.is_in_crowd[keep]

        def per_image(which: np.ndarray) -> np.ndarray:  # (T, D) -> (T, I)
            return np.stack([np.bincount(image_idx[row], minlength=num_images) for row in which])

        hits = per_image(is_hit)
        counted = is_hit[0] | is_miss[0]
        cell = image_idx[counted] * num_classes + self.labels[keep][counted]
        return Tally(
            iou_thresholds=self.iou_thresholds,
            true_positives=hits,
            false_positives=per_image(is_miss),
            false_negatives=self.num_true.sum(axis=1) - hits,
            predicted=np.bincount(cell, minlength=num_images * num_classes).reshape(num_images, num_classes),
            true=self.num_true,
        )


def match_masks(truths: Sequence[GroundTruth], results: Sequence[Instances], num_classes: int) -> MaskMatches:
    """Matches within each image and class, one to one, by IoU of masks, which stay RLE.

    In descending order of score each prediction takes the free object with the highest IoU above the threshold. So a
    prediction of lower score never changes what a higher one got.
    """
    # Each list begins with nothing of the right type: there may be no image at all.
    scores, labels, in_crowd = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    hits = [np.zeros((len(IOU_THRESHOLDS), 0), bool)]
    num_true = np.zeros((len(truths), num_classes), np.int64)
    for image, (truth, instances) in enumerate(zip(truths, results, strict=True)):
        num_true[image] = np.bincount(truth.labels[~truth.is_crowd], minlength=num_classes)
        image_scores = instances.scores.cpu().numpy()
        image_labels = instances.labels.cpu().numpy()
        rles = instances.rles()
        is_hit = np.zeros((len(IOU_THRESHOLDS), len(instances)), bool)
        is_in_crowd = np.zeros(len(instances), bool)
        for label in np.unique(image_labels):
            predicted = np.flatnonzero(image_labels == label)
            predicted = predicted[np.argsort(-image_scores[predicted], kind="stable")]
            masks: list[Any] = [rles[i] for i in predicted]
            objects: list[Any] = [truth.rles[i] for i in np.flatnonzero((truth.labels == label) & ~truth.is_crowd)]
            crowds: list[Any] = [truth.rles[i] for i in np.flatnonzero((truth.labels == label) & truth.is_crowd)]
            if objects:
                ious = np.asarray(coco_mask.iou(masks, objects, [0] * len(objects)))
                is_hit[:, predicted] = _match_in_order(ious)
            if crowds:  # with iscrowd, pycocotools divides by the area of the prediction alone
                shares = np.asarray(coco_mask.iou(masks, crowds, [1] * len(crowds)))
                is_in_crowd[predicted] = shares.max(axis=1) > CROWD_SHARE
        scores.append(image_scores)
        labels.append(image_labels)
        hits.append(is_hit)
        in_crowd.append(is_in_crowd)
    return MaskMatches(
        iou_thresholds=IOU_THRESHOLDS,
        scores=np.concatenate(scores),
        labels=np.concatenate(labels),
        image_idx=np.repeat(np.arange(len(truths)), np.array([len(i) for i in results], np.int64)),
        is_hit=np.concatenate(hits, axis=1),
        is_in_crowd=np.concatenate(in_crowd),
        num_true=num_true,
    )


def _match_in_order(ious: np.ndarray) -> np.ndarray:
    """(D, G) IoUs, predictions in the order of service -> (T, D) whether a prediction got an object."""
    thresholds = np.array(IOU_THRESHOLDS)
    is_hit = np.zeros((len(thresholds), ious.shape[0]), bool)
    is_taken = np.zeros((len(thresholds), ious.shape[1]), bool)
    close = ious > thresholds[0]
    for d in np.flatnonzero(close.any(axis=1)):
        objects = np.flatnonzero(close[d])
        for g in objects[np.argsort(-ious[d, objects], kind="stable")]:
            takes = (ious[d, g] > thresholds) & ~is_taken[:, g] & ~is_hit[:, d]
            is_hit[takes, d] = is_taken[takes, g] = True
    return is_hit
