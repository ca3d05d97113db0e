"""From scored regions to detections: threshold, NMS, limit.

Letters: R regions of all images, K classes, D detections.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from maskrcnn.ops.nms import grouped_nms
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.masks import PasteMode


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
class Limit:
    """A limit that an image may have touched."""

    was_hit: Tensor
    """(N,) bool."""
    sentence: str
    """What was lost where it was."""


@dataclass(frozen=True)
class Detections:
    """Detections of all images: image after image, the best first. The box head makes them, other heads add to them."""

    boxes: Tensor
    """(D, 4) px of the padded frame."""
    labels: Tensor
    """(D,) int64."""
    scores: Tensor
    """(D,) 0..1."""
    image_idx: Tensor
    """(D,) int64."""
    at_image: Tensor
    """(D, 4) px of the original images."""
    limits: tuple[Limit, ...] = ()
    mask_probs: Tensor | None = None
    """(D, M, M), of the mask head."""
    paste_mode: PasteMode = "exact"
    extra: dict[str, Tensor] = field(default_factory=dict)
    """(D, ...) tensors of other heads, by name: they become the extra fields of `Instances`."""


def passing(class_logits: Tensor, rules: DetectionRules) -> tuple[Tensor, Tensor, Tensor]:
    """Regions (D,), labels (D,) and scores (D,) above the threshold, of `class_logits` (R, K + 1), background last."""
    probs = class_logits.softmax(dim=1)
    num_classes = probs.shape[1] - 1
    scores = probs[:, :num_classes]
    passes = scores >= rules.score_threshold if rules.score_inclusive else scores > rules.score_threshold
    if rules.classes_per_roi == "best":
        best = probs.argmax(dim=1, keepdim=True)
        passes &= torch.arange(num_classes, device=probs.device) == best
    roi, label = passes.nonzero(as_tuple=True)
    return roi, label, scores[roi, label]


def suppress(
    boxes: Tensor,
    labels: Tensor,
    scores: Tensor,
    image_idx: Tensor,
    num_images: int,
    num_classes: int,
    rules: DetectionRules,
) -> tuple[Tensor, Tensor]:
    """Which of D detections stay after NMS and the limits: their indices, image after image, the best first.

    The second value says which images had more than `max_detections`, (N,) bool.
    """
    kept = torch.arange(len(boxes), device=boxes.device)
    if rules.min_size > 0:
        is_large = ((boxes[:, 2:] - boxes[:, :2]) >= rules.min_size).all(dim=1)
        kept = kept[is_large]
    groups = labels if rules.nms_groups is None else torch.tensor(rules.nms_groups, device=labels.device)[labels]
    groups = image_idx * num_classes + groups
    kept = kept[grouped_nms(boxes[kept], scores[kept], groups[kept], rules.nms_threshold)]
    image = image_idx[kept]
    order = image.sort(stable=True).indices  # image after image, still the best first
    kept, image = kept[order], image[order]
    num_of_image = torch.bincount(image, minlength=num_images)
    first = num_of_image.cumsum(0) - num_of_image
    rank = torch.arange(len(kept), device=kept.device) - first[image]
    return kept[rank < rules.max_detections], num_of_image > rules.max_detections


def to_instances(found: Detections, images: ImageBatch, class_names: tuple[str, ...]) -> list[Instances]:
    """One result for each image. How many each has, and the limits, come from the device in one transfer."""
    assert found.mask_probs is not None
    counts = torch.bincount(found.image_idx, minlength=len(images))
    table = torch.stack([counts, *(limit.was_hit for limit in found.limits)], dim=1).tolist()
    nums = [row[0] for row in table]
    fields = (found.at_image, found.labels, found.scores, found.mask_probs)
    of_images = list(zip(*(values.split(nums) for values in fields), strict=True))
    extra_of_images = {name: values.split(nums) for name, values in found.extra.items()}
    return [
        Instances(
            image_size=images.original_sizes[i],
            boxes=boxes,
            labels=labels,
            scores=scores,
            mask_probs=mask_probs,
            class_names=class_names,
            paste_mode=found.paste_mode,
            ceilings=tuple(limit.sentence for limit, hit in zip(found.limits, table[i][1:], strict=True) if hit),
            extra={name: parts[i] for name, parts in extra_of_images.items()},
        )
        for i, (boxes, labels, scores, mask_probs) in enumerate(of_images)
    ]
