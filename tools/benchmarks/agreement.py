"""Whether two peers found the same. N detections."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_masks

from benchmarks.peers import Found

BOX_TOLERANCE = 1e-3  # of a box's longer side
SAME_OBJECT = 0.5  # IoU
# At the limit and at NMS a decision can hang on the last bit of a score, so that one box in fifty may be another.
MATCHED = 0.98
MASK_IOU = 0.99


@dataclass(frozen=True)
class Agreement:
    """What `compare` saw."""

    counts: tuple[int, int]
    close: int
    """Boxes within `BOX_TOLERANCE` of one of the reference of the same class."""
    same: int
    """Boxes whose IoU with such a one is at least `SAME_OBJECT`."""
    mask_iou: float
    """Mean over those."""

    @property
    def is_equal(self) -> bool:
        """Whether these are the results of the same weights in the same precision."""
        own, reference = self.counts
        return own == reference and self.close >= MATCHED * reference and (not own or self.mask_iou >= MASK_IOU)

    def __str__(self) -> str:
        own, reference = self.counts
        return (
            f"{own} of {reference} detections, {self.close} boxes within {BOX_TOLERANCE:g} of their side, "
            f"{self.same} the same object, mean mask IoU of these {self.mask_iou:.4f}"
        )


def compare(found: Found, reference: Found) -> Agreement:
    """`found` against `reference`: each box with that of its class which it overlaps most."""
    overlap = _box_iou(found.boxes, reference.boxes) * (found.labels[:, None] == reference.labels)  # (N, N')
    if not overlap.size:
        return Agreement((len(found.boxes), len(reference.boxes)), 0, 0, 0.0)
    best = overlap.argmax(axis=1)
    is_same = overlap[np.arange(len(best)), best] >= SAME_OBJECT
    theirs = reference.boxes[best]
    sides = (theirs[:, 2:] - theirs[:, :2]).max(axis=1)
    is_close = is_same & (np.abs(found.boxes - theirs).max(axis=1) <= BOX_TOLERANCE * sides)
    iou: Any = coco_masks.iou
    ious = [float(iou([found.rles[i]], [reference.rles[best[i]]], [False])[0, 0]) for i in np.flatnonzero(is_same)]
    counts = (len(found.boxes), len(reference.boxes))
    return Agreement(counts, int(is_close.sum()), int(is_same.sum()), float(np.mean(ious)) if ious else 0.0)


def _box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    return common / np.maximum(areas[0][:, None] + areas[1] - common, 1e-9)
