"""What a region is, and where exactly.

Letters: N images, R regions, D detections, K classes, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.layers import FrozenBatchNorm, Norm, conv_stack
from maskrcnn.model.losses import smooth_l1
from maskrcnn.model.roi_pooler import RoIPooler, count_each
from maskrcnn.model.roi_targets import RoITargets, SamplingRules, sample_rois
from maskrcnn.model.rpn import Limit, Proposals
from maskrcnn.ops.box_deltas import Clamp, Weights, decode_deltas, encode_deltas
from maskrcnn.ops.nms import grouped_nms
from maskrcnn.structures.boxes import is_nonempty
from maskrcnn.structures.constants import constant
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.masks import PasteMode
from maskrcnn.structures.targets import Targets

ALIGNMENT = 8
"""Bytes; of the widest numbers that results are made of."""


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
    maps: dict[str, Sequence[Tensor]] = field(default_factory=dict)
    """One (height, width) tensor for each image, of heads that look at whole images, by name: see `Instances.maps`."""


class BoxHead(nn.Module):
    """Convolutions, fully connected layers, then class logits and box deltas (arXiv:1703.06870, figure 4).

    Without fully connected layers the mean over the region's cells is read, as in the paper's C4.

    Args:
        resolution: bins that `pooler` reads along a side.
        rules: what becomes of the scored regions.
        edge: what the last pixel's index lacks to the edge: 0 for continuous boxes, 1 for inclusive ones.
        rounds_boxes: detections end on whole pixels of the image (matterport).
    """

    loss_names = ("class", "box")

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        pooler: RoIPooler | None = None,
        resolution: int = 7,
        convs: int = 0,
        conv_channels: int = 256,
        conv_norm: Norm = "none",
        fcs: int = 2,
        fc_channels: int = 1024,
        fc_norm: Literal["none", "frozen_bn", "bn"] = "none",
        norm_eps: float = 1e-5,
        class_agnostic: bool = False,
        delta_weights: Weights = (10, 10, 5, 5),
        delta_clamp: Clamp = "max",
        smooth_l1_beta: float = 0.0,
        sampling: SamplingRules | None = None,
        rules: DetectionRules | None = None,
        edge: float = 0.0,
        rounds_boxes: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.pooler, self.resolution = pooler or RoIPooler(), resolution
        self.delta_weights: Weights = delta_weights
        self.delta_clamp: Clamp = delta_clamp
        self.smooth_l1_beta = smooth_l1_beta
        self.sampling, self.rules = sampling or SamplingRules(), rules or DetectionRules()
        self.edge, self.rounds_boxes = edge, rounds_boxes
        if self.pooler.stage is not None:
            self.stage = self.pooler.stage
        self.convs = conv_stack(in_channels, conv_channels, convs, conv_norm, norm_eps)
        channels = conv_channels if convs else in_channels
        if fcs:
            channels *= (resolution // self.pooler.stage_stride) ** 2
        layers: list[nn.Module] = []
        for _ in range(fcs):
            layers.append(nn.Linear(channels, fc_channels))
            if fc_norm != "none":
                frozen = fc_norm == "frozen_bn"
                layers.append((FrozenBatchNorm if frozen else nn.BatchNorm1d)(fc_channels, norm_eps))
            layers.append(nn.ReLU(inplace=True))
            channels = fc_channels
        self.fcs = nn.Sequential(*layers)
        self.class_logits = nn.Linear(channels, num_classes + 1)
        self.deltas = nn.Linear(channels, 4 * (1 if class_agnostic else num_classes))
        for layer in self.fcs:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=1)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.class_logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.class_logits, self.deltas):
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (R, K + 1), the background last, and deltas (R, K or 1, 4), from (R, C, 7, 7)."""
        x = self.convs(pooled)
        x = self.fcs(x.flatten(1)) if len(self.fcs) else x.mean(dim=(2, 3))
        return self.class_logits(x).float(), self.deltas(x).float().unflatten(1, (-1, 4))

    def sample(
        self,
        proposals: Sequence[Proposals],
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator | None] | None = None,
    ) -> list[RoITargets]:
        """The regions of each image that this head and those behind it learn from."""
        draw = generators or [None] * len(targets)
        return [
            sample_rois(proposal.boxes, target, self.num_classes, self.sampling, generator)
            for proposal, target, generator in zip(proposals, targets, draw, strict=True)
        ]

    def losses(
        self, levels: Sequence[Tensor], images: ImageBatch, rois: Sequence[RoITargets], targets: Sequence[Targets]
    ) -> Losses:
        """Of the class and of the box, both over the number of sampled regions (arXiv:1504.08083, equation 1)."""
        boxes, image_idx = torch.cat([r.boxes for r in rois]), image_idx_of([r.boxes for r in rois])
        labels = torch.cat([r.labels for r in rois])
        class_logits, deltas = self(self.pooler(levels, boxes, image_idx, images.padded_size, self.resolution))
        rows = torch.arange(len(labels), device=labels.device).split([len(r.labels) for r in rois])
        positive = torch.cat([own[: len(r.object_idx)] for own, r in zip(rows, rois, strict=True)])  # they come first
        positive_labels = labels[positive]
        matched = torch.cat([t.boxes[r.object_idx] for t, r in zip(targets, rois, strict=True)])
        delta_targets = encode_deltas(matched, boxes[positive], self.delta_weights)
        channel = positive_labels if deltas.shape[1] > 1 else torch.zeros_like(positive_labels)
        positive_deltas = deltas[positive, channel]
        box_loss = smooth_l1(positive_deltas, delta_targets, self.smooth_l1_beta)
        # The sum with weight 0 keeps the layer in the graph when no region is positive.
        means = (classification_loss(class_logits, labels), box_loss / max(len(labels), 1) + 0.0 * deltas.sum())
        return Losses(dict(zip(self.loss_names, means, strict=True)), dict.fromkeys(self.loss_names, len(labels)))

    def detect(self, levels: Sequence[Tensor], images: ImageBatch, proposals: Sequence[Proposals]) -> Detections:
        """What scores above the threshold in each image, without duplicates."""
        boxes = torch.cat([p.boxes for p in proposals])  # (R, 4)
        image_idx = image_idx_of([p.boxes for p in proposals])
        class_logits, deltas = self(self.pooler(levels, boxes, image_idx, images.padded_size, self.resolution))
        roi, label, score = passing(class_logits, self.rules)
        image_idx = image_idx[roi]
        channel = label if deltas.shape[1] > 1 else torch.zeros_like(label)
        decoded = decode_deltas(deltas[roi, channel], boxes[roi], self.delta_weights, self.delta_clamp)
        decoded = self._clip(decoded, image_idx, images)
        at_image = images.to_original(decoded, image_idx, self.edge)
        if self.rounds_boxes:
            at_image = at_image.round()
        kept, hit_limit = suppress(
            decoded, label, score, image_idx, len(images), self.num_classes, self.rules, is_nonempty(at_image)
        )
        most = self.rules.max_detections
        limit = Limit(hit_limit, f"more than {most} detections, the best {most} kept (detection.max_detections)")
        return Detections(decoded[kept], label[kept], score[kept], image_idx[kept], at_image[kept], (limit,))

    def _clip(self, boxes: Tensor, image_idx: Tensor, images: ImageBatch) -> Tensor:
        """Boxes (D, 4) within their images."""
        low, size, _ = images.frames[:, image_idx]
        return torch.minimum(torch.maximum(boxes, low), low + size - self.edge)


def image_idx_of(parts: Sequence[Tensor]) -> Tensor:
    """Image (R,) of each row of `parts`, one part for each image."""
    return torch.cat([torch.full((len(part),), i, device=part.device) for i, part in enumerate(parts)])


def classification_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of (R, K + 1) against labels (R,) with K for the background; 0 for no region."""
    return F.cross_entropy(class_logits, labels, reduction="sum") / max(len(labels), 1)


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
    is_visible: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Which of D detections stay after NMS and the limits: their indices, image after image, the best first.

    The second value says which images had more than `max_detections`, (N,) bool. Those that are not `is_visible` (D,)
    bool count like others, and are then left out.
    """
    if rules.min_size > 0:  # what is too small has an image of its own: dropped at once it would be one more wait
        is_large = ((boxes[:, 2:] - boxes[:, :2]) >= rules.min_size).all(dim=1)
        image_idx = image_idx.masked_fill(~is_large, num_images)
    groups = labels
    if rules.nms_groups is not None:
        groups = constant(tuple(rules.nms_groups), labels.device, torch.int64)[labels]
    groups = image_idx * num_classes + groups
    kept = grouped_nms(boxes, scores, groups, rules.nms_threshold)
    image = image_idx[kept]
    order = image.sort(stable=True).indices  # image after image, still the best first
    kept, image = kept[order], image[order]
    num_of_image = count_each(image, num_images + 1)
    first = num_of_image.cumsum(0) - num_of_image
    rank = torch.arange(len(kept), device=kept.device) - first[image]
    stays = (rank < rules.max_detections) & (image < num_images)
    if is_visible is not None:
        stays &= is_visible[kept]
    return kept[stays], num_of_image[:num_images] > rules.max_detections


def to_instances(found: Detections, images: ImageBatch, class_names: tuple[str, ...]) -> list[Instances]:
    """One result for each image, on the CPU. All of it comes from the device in one transfer."""
    assert found.mask_probs is not None
    counts = count_each(found.image_idx, len(images))
    table = torch.stack([counts, *(limit.was_hit for limit in found.limits)], dim=1)
    fields = (found.at_image, found.labels, found.scores, found.mask_probs)
    flat_maps = [one for maps in found.maps.values() for one in maps]
    table, *values = to_cpu([table, *fields, *found.extra.values(), *flat_maps])
    table = table.tolist()
    nums = [row[0] for row in table]
    of_images = list(zip(*(part.split(nums) for part in values[: len(fields)]), strict=True))
    values = iter(values[len(fields) :])
    extra_of_images = {name: next(values).split(nums) for name in found.extra}
    maps = {name: [next(values) for _ in maps] for name, maps in found.maps.items()}
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
            maps={name: of_images[i] for name, of_images in maps.items()},
        )
        for i, (boxes, labels, scores, mask_probs) in enumerate(of_images)
    ]


def to_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    """`tensors`, of one device, on the CPU; those that are there already are given back.

    In one copy, since with each the host would wait for all that was asked of the device before.
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return list(tensors)
    parts = [tensor.contiguous().flatten().view(torch.uint8) for tensor in tensors]
    rooms = [-(-len(part) // ALIGNMENT) * ALIGNMENT for part in parts]
    padded = [F.pad(part, (0, room - len(part))) for part, room in zip(parts, rooms, strict=True)]
    here = torch.cat(padded).cpu().split(rooms)
    return [
        own[: len(part)].view(tensor.dtype).view(tensor.shape)
        for own, part, tensor in zip(here, parts, tensors, strict=True)
    ]
