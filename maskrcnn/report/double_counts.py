"""Objects that may have been counted twice: pairs of instances that cover nearly the same pixels."""

import pycocotools.mask
from torch import Tensor

from maskrcnn.structures.boxes import box_iou
from maskrcnn.structures.instances import Instances

SAME_OBJECT = 0.7
"""Mask IoU above which two instances are taken for one object."""
_PAIRS_AT_ONCE = 1 << 20  # box IoUs alive at once: about 30 MB of working memory


def double_counts(instances: Instances, threshold: float = SAME_OBJECT) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, whose masks have an IoU of more than `threshold`, whatever their classes.

    NMS compares boxes, and those of one class only, so that a thing may be found as a cat and as a dog.
    """
    # Pixels are compared only where boxes overlap at least half as much.
    pairs = _overlapping(instances.boxes, threshold / 2)
    rles = instances.rles() if pairs else []
    found = []
    for i, j in pairs:
        iou = pycocotools.mask.iou([rles[i]], [rles[j]], [0])  # pyright: ignore[reportArgumentType]
        if iou[0][0] > threshold:
            found.append((i, j))
    return found


def _overlapping(boxes: Tensor, threshold: float) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, in order, of the boxes (N, 4) with an IoU of more than `threshold`."""
    pairs: list[tuple[int, int]] = []
    num_rows = max(1, _PAIRS_AT_ONCE // max(1, len(boxes)))
    for first in range(0, len(boxes), num_rows):
        is_near = box_iou(boxes[first : first + num_rows], boxes) > threshold
        i, j = is_near.triu(diagonal=first + 1).nonzero(as_tuple=True)
        pairs += zip((i + first).tolist(), j.tolist(), strict=True)
    return pairs
