"""Objects that may have been counted twice: pairs of instances that cover nearly the same pixels."""

import pycocotools.mask

from maskrcnn.structures.boxes import box_iou
from maskrcnn.structures.instances import Instances

SAME_OBJECT = 0.7
"""Mask IoU above which two instances are taken for one object."""


def double_counts(instances: Instances, threshold: float = SAME_OBJECT) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, whose masks have an IoU of more than `threshold`, whatever their classes.

    NMS compares boxes, and those of one class only, so that a thing may be found as a cat and as a dog.
    """
    # Pixels are compared only where boxes overlap at least half as much.
    pairs = (box_iou(instances.boxes, instances.boxes) > threshold / 2).triu(diagonal=1).nonzero()
    if len(pairs) == 0:
        return []
    involved = pairs.unique()
    rles = dict(zip(involved.tolist(), instances[involved].rles(), strict=True))
    found = []
    for i, j in pairs.tolist():
        iou = pycocotools.mask.iou([rles[i]], [rles[j]], [0])  # pyright: ignore[reportArgumentType]
        if iou[0][0] > threshold:
            found.append((i, j))
    return found
