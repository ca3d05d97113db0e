"""Which proposals train the heads, and what each of them should say.

Letters: P proposals, G objects, R sampled regions, F the positive ones among them, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from maskrcnn.model.rpn import ignore_crowds
from maskrcnn.ops.matching import match
from maskrcnn.ops.sampling import sample_balanced
from maskrcnn.structures.boxes import box_iou
from maskrcnn.structures.targets import Targets


@dataclass(frozen=True)
class SamplingRules:
    """Which regions the losses look at; see `RoISettings`."""

    foreground_iou: float = 0.5
    per_image: int = 512
    positive_fraction: float = 0.25


@dataclass(frozen=True)
class RoITargets:
    """Sampled regions of one image; the positives come first."""

    boxes: Tensor
    """(R, 4) px of the padded frame."""
    labels: Tensor
    """(R,) int64, K for the background."""
    object_idx: Tensor
    """(F,) int64: the object that each positive region stands for."""


@torch.no_grad()
def sample_rois(
    proposals: Tensor,
    targets: Targets,
    num_classes: int,
    rules: SamplingRules,
    generator: torch.Generator | None = None,
) -> RoITargets:
    """Draw regions from `proposals` (P, 4) and the objects' own boxes (arXiv:1703.06870, section 3.1)."""
    candidates = torch.cat([proposals, targets.boxes])
    object_idx, kind = match(box_iou(targets.boxes, candidates), rules.foreground_iou, rules.foreground_iou, False)
    kind = ignore_crowds(kind, candidates, targets.ignore_boxes)
    positives, negatives = sample_balanced(kind, rules.per_image, rules.positive_fraction, generator)
    labels = torch.full((len(positives) + len(negatives),), num_classes, device=proposals.device)
    positive_object_idx = object_idx[positives]
    labels[: len(positives)] = targets.labels[positive_object_idx]
    return RoITargets(candidates[torch.cat([positives, negatives])], labels, positive_object_idx)
