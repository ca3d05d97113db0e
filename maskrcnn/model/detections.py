"""From scored regions to detections: threshold, NMS, limit.

Letters: R regions of all images, K classes, D detections.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from maskrcnn.ops.nms import grouped_nms


@dataclass(frozen=True)
class DetectionRules:
    """See `DetectionSettings`."""

    score_threshold: float = 0.5
    score_inclusive: bool = False
    nms_threshold: float = 0.5
    max_detections: int = 1000
    classes_per_roi: Literal["all", "best"] = "all"
    min_size: float = 0.0
    nms_groups: tuple[int, ...] | None = None
    """For each label the group within which NMS suppresses; None is each label for itself."""


@dataclass(frozen=True)
class Detections:
    """Detections of all images: image after image, the best first."""

    boxes: Tensor
    """(D, 4) px of the padded frame."""
    labels: Tensor
    """(D,) int64."""
    scores: Tensor
    """(D,) 0..1."""
    image_idx: Tensor
    """(D,) int64."""
    hit_limit: Tensor
    """(N,) bool: the image had more than `max_detections`."""


def select_detections(
    class_logits: Tensor,
    decode: Callable[[Tensor, Tensor], Tensor],
    image_idx: Tensor,
    num_images: int,
    rules: DetectionRules,
) -> Detections:
    """Detections of regions whose `class_logits` (R, K + 1) have the background last.

    Args:
        decode: boxes (D, 4) of regions (D,) read as labels (D,); called once, for what passed the threshold.
        image_idx: (R,) the image of each region.
    """
    probs = class_logits.softmax(dim=1)
    num_classes = probs.shape[1] - 1
    scores = probs[:, :num_classes]
    passes = scores >= rules.score_threshold if rules.score_inclusive else scores > rules.score_threshold
    if rules.classes_per_roi == "best":
        best = probs.argmax(dim=1, keepdim=True)
        passes &= torch.arange(num_classes, device=probs.device) == best
    roi, label = passes.nonzero(as_tuple=True)
    score, boxes, image = scores[roi, label], decode(roi, label), image_idx[roi]
    if rules.min_size > 0:
        is_large = ((boxes[:, 2:] - boxes[:, :2]) >= rules.min_size).all(dim=1)
        score, boxes, image, label = score[is_large], boxes[is_large], image[is_large], label[is_large]
    group = label if rules.nms_groups is None else torch.tensor(rules.nms_groups, device=label.device)[label]
    kept = grouped_nms(boxes, score, image * num_classes + group, rules.nms_threshold)
    kept = kept[image[kept].sort(stable=True).indices]  # image after image, still the best first
    num_of_image = torch.bincount(image[kept], minlength=num_images)
    first = num_of_image.cumsum(0) - num_of_image
    rank = torch.arange(len(kept), device=kept.device) - first[image[kept]]
    kept = kept[rank < rules.max_detections]
    return Detections(boxes[kept], label[kept], score[kept], image[kept], num_of_image > rules.max_detections)
