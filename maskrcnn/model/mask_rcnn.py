"""Mask R-CNN, the whole flow on one page.

Letters: N images, A anchors, P proposals, R regions, K classes. Paper: arXiv:1703.06870.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from maskrcnn.model.anchors import Anchors
from maskrcnn.model.box_head import BoxHead, classification_loss
from maskrcnn.model.detections import DetectionRules, select_detections
from maskrcnn.model.fpn import FPN
from maskrcnn.model.mask_head import MaskHead, mask_loss
from maskrcnn.model.preprocess import Normalise, Resize
from maskrcnn.model.resnet import ResNet
from maskrcnn.model.roi_pooler import RoIPooler
from maskrcnn.model.roi_targets import RoITargets, sample_rois
from maskrcnn.model.rpn import RPN, ProposalRules, Proposals, smooth_l1
from maskrcnn.ops.box_deltas import Clamp, Weights, decode_deltas, encode_deltas
from maskrcnn.structures.boxes import is_nonempty
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.masks import PasteMode
from maskrcnn.structures.targets import Targets

MASK_CHUNK = 256  # regions that go through the mask head together when detecting: bounds its memory


@dataclass(frozen=True)
class TrainingRules:
    """Which anchors and regions the losses look at; see `RPNSettings` and `RoISettings`."""

    proposals: ProposalRules
    anchor_foreground_iou: float = 0.7
    anchor_background_iou: float = 0.3
    anchors_per_image: int = 256
    anchor_positive_fraction: float = 0.5
    rpn_smooth_l1_beta: float = 1 / 9
    roi_foreground_iou: float = 0.5
    rois_per_image: int = 512
    roi_positive_fraction: float = 0.25
    box_smooth_l1_beta: float = 0.0


@dataclass(frozen=True)
class Dense:
    """What the static part of the network gives for a padded batch."""

    levels: list[Tensor]
    """P2..P6, each (N, C, h, w)."""
    objectness_logits: list[Tensor]
    """Of each level, (N, A_level)."""
    deltas: list[Tensor]
    """Of each level, (N, A_level, 4)."""


@dataclass(frozen=True)
class Losses:
    """The losses of a batch, each a mean, and over how many things: the means of several batches weigh by these."""

    means: dict[str, Tensor]
    """rpn_objectness, rpn_box, class, box, mask; scalars."""
    counts: dict[str, int]
    """Sampled anchors, sampled regions, positive regions."""


class MaskRCNN(nn.Module):
    """The parts and the order in which an image passes through them. `build_model` makes one from settings."""

    def __init__(
        self,
        *,
        resize: Resize,
        normalise: Normalise,
        backbone: ResNet,
        fpn: FPN,
        anchors: Anchors,
        rpn: RPN,
        pooler: RoIPooler,
        box_head: BoxHead,
        mask_head: MaskHead,
        class_names: Sequence[str],
        proposal_rules: ProposalRules,
        detection_rules: DetectionRules,
        training_rules: TrainingRules,
        box_resolution: int = 7,
        mask_resolution: int = 14,
        box_delta_weights: Weights = (10, 10, 5, 5),
        box_delta_clamp: Clamp = "max",
        box_edges: Literal["continuous", "inclusive"] = "continuous",
        paste_mode: PasteMode = "exact",
    ) -> None:
        super().__init__()
        self.resize, self.normalise, self.anchors, self.pooler = resize, normalise, anchors, pooler
        self.backbone, self.fpn, self.rpn, self.box_head, self.mask_head = backbone, fpn, rpn, box_head, mask_head
        self.class_names = tuple(class_names)
        self.proposal_rules, self.detection_rules = proposal_rules, detection_rules
        self.training_rules = training_rules
        self.box_resolution, self.mask_resolution = box_resolution, mask_resolution
        self.box_delta_weights: Weights = box_delta_weights
        self.box_delta_clamp: Clamp = box_delta_clamp
        self.edge = 1.0 if box_edges == "inclusive" else 0.0
        self.paste_mode: PasteMode = paste_mode

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.rpn.objectness.weight.device

    def dense(self, pixels: Tensor) -> Dense:
        """The static part, a function of the padded batch (N, 3, H, W) alone, in the precision of the weights."""
        levels = self.fpn(self.backbone(pixels.to(self.rpn.objectness.weight.dtype)))
        logits, deltas = self.rpn(levels)
        return Dense(levels, logits, deltas)

    def detect(self, images: ImageBatch) -> list[Instances]:
        """Everything found in each image, boxes in the pixels of the original image, best first.

        Call under `torch.inference_mode()` and in eval mode.
        """
        dense = self.dense(images.pixels)
        proposals = self._propose(dense, self._anchors(dense, images), images, self.proposal_rules)
        boxes = torch.cat([p.boxes for p in proposals])  # (R, 4)
        image_idx = _image_idx(proposals)
        class_logits, deltas = self.box_head(
            self.pooler(dense.levels, boxes, image_idx, images.padded_size, self.box_resolution)
        )
        found = select_detections(
            class_logits,
            lambda roi, label: self._decode_boxes(deltas, boxes, image_idx, images, roi, label),
            image_idx,
            len(images),
            self.detection_rules,
        )
        at_image = images.to_original(found.boxes, found.image_idx, self.edge)
        if self.paste_mode == "integer":
            at_image = at_image.round()
        kept = is_nonempty(at_image).nonzero().squeeze(1)
        image_idx, labels, scores = found.image_idx[kept], found.labels[kept], found.scores[kept]
        mask_probs = self._masks(dense.levels, found.boxes[kept], image_idx, labels, images)
        # Detections lie image after image; how many each has, and what was cut, comes from the device in one transfer.
        cuts = [torch.stack([p.hit_pre_nms for p in proposals]), torch.stack([p.hit_post_nms for p in proposals])]
        table = torch.stack([torch.bincount(image_idx, minlength=len(images)), *cuts, found.hit_limit], dim=1).tolist()
        parts = zip(
            *(x.split([row[0] for row in table]) for x in (at_image[kept], labels, scores, mask_probs)), strict=True
        )
        return [
            Instances(
                image_size=images.original_sizes[i],
                boxes=boxes,
                labels=labels,
                scores=scores,
                mask_probs=mask_probs,
                class_names=self.class_names,
                paste_mode=self.paste_mode,
                ceilings=self._ceilings(*row[1:]),
            )
            for i, ((boxes, labels, scores, mask_probs), row) in enumerate(zip(parts, table, strict=True))
        ]

    def forward(self, images: ImageBatch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """The five losses of a batch: rpn_objectness, rpn_box, class, box, mask; scalars."""
        return self.losses(images, targets).means

    def losses(
        self,
        images: ImageBatch,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator | None] | None = None,
    ) -> Losses:
        """The five losses of a batch, and what they are means over.

        The keys are always the same and every trainable parameter takes part, also where there is no object. Boxes
        of `targets` are in the pixels of the resized images. `generators`, on the CPU, draw what is drawn about each
        image; None is torch's global random state.
        """
        rules = self.training_rules
        dense = self.dense(images.pixels)
        anchors = self._anchors(dense, images)
        targets = [_to_padded_frame(t, origin, self.edge) for t, origin in zip(targets, images.origins, strict=True)]
        draw = generators or [None] * len(targets)
        objectness_loss, rpn_box_loss, num_anchors = self.rpn.losses(
            dense.objectness_logits,
            dense.deltas,
            anchors,
            targets,
            foreground_iou=rules.anchor_foreground_iou,
            background_iou=rules.anchor_background_iou,
            anchors_per_image=rules.anchors_per_image,
            positive_fraction=rules.anchor_positive_fraction,
            smooth_l1_beta=rules.rpn_smooth_l1_beta,
            edge=self.edge,
            generators=draw,
        )
        proposals = self._propose(dense, anchors, images, rules.proposals)
        rois = [
            sample_rois(
                proposal.boxes,
                target,
                num_classes=len(self.class_names),
                foreground_iou=rules.roi_foreground_iou,
                per_image=rules.rois_per_image,
                positive_fraction=rules.roi_positive_fraction,
                generator=generator,
            )
            for proposal, target, generator in zip(proposals, targets, draw, strict=True)
        ]
        class_loss, box_loss = self._box_losses(dense.levels, rois, targets, images)
        means = {
            "rpn_objectness": objectness_loss,
            "rpn_box": rpn_box_loss,
            "class": class_loss,
            "box": box_loss,
            "mask": self._mask_loss(dense.levels, rois, targets, images),
        }
        num_rois, num_masks = sum(len(r.labels) for r in rois), sum(len(r.object_idx) for r in rois)
        counts = (num_anchors, num_anchors, num_rois, num_rois, num_masks)
        return Losses(means, dict(zip(means, counts, strict=True)))

    def _anchors(self, dense: Dense, images: ImageBatch) -> list[Tensor]:
        grids = [(level.shape[-2], level.shape[-1]) for level in dense.levels]
        return self.anchors(images.padded_size, grids, images.pixels.device)

    def _propose(
        self, dense: Dense, anchors: list[Tensor], images: ImageBatch, rules: ProposalRules
    ) -> list[Proposals]:
        logits = [level.detach() for level in dense.objectness_logits]
        deltas = [level.detach() for level in dense.deltas]
        return self.rpn.propose(logits, deltas, anchors, images, rules, self.edge)

    def _decode_boxes(
        self, deltas: Tensor, boxes: Tensor, image_idx: Tensor, images: ImageBatch, roi: Tensor, label: Tensor
    ) -> Tensor:
        """Boxes (D, 4) of regions `roi` (D,) read as classes `label` (D,), clipped to their images."""
        channel = label if deltas.shape[1] > 1 else torch.zeros_like(label)
        decoded = decode_deltas(deltas[roi, channel], boxes[roi], self.box_delta_weights, self.box_delta_clamp)
        origins = boxes.new_tensor([[x, y] for y, x in images.origins])[image_idx[roi]]
        sizes_wh = boxes.new_tensor([[w, h] for h, w in images.sizes])[image_idx[roi]]
        low, high = origins.repeat(1, 2), (origins + sizes_wh - self.edge).repeat(1, 2)
        return torch.minimum(torch.maximum(decoded, low), high)

    def _masks(
        self, levels: list[Tensor], boxes: Tensor, image_idx: Tensor, labels: Tensor, images: ImageBatch
    ) -> Tensor:
        """Mask probabilities (D, 28, 28) of detections, each for its own class."""
        size = 2 * self.mask_resolution
        probs = [boxes.new_zeros((0, size, size))]
        for part in torch.arange(len(boxes), device=boxes.device).split(MASK_CHUNK):
            pooled = self.pooler(levels, boxes[part], image_idx[part], images.padded_size, self.mask_resolution)
            probs.append(self.mask_head.of_labels(self.mask_head(pooled), labels[part]).sigmoid())
        return torch.cat(probs)

    def _box_losses(
        self, levels: list[Tensor], rois: list[RoITargets], targets: Sequence[Targets], images: ImageBatch
    ) -> tuple[Tensor, Tensor]:
        boxes, image_idx = torch.cat([r.boxes for r in rois]), _image_idx(rois)
        labels = torch.cat([r.labels for r in rois])
        class_logits, deltas = self.box_head(
            self.pooler(levels, boxes, image_idx, images.padded_size, self.box_resolution)
        )
        is_positive = labels < len(self.class_names)
        matched = torch.cat([t.boxes[r.object_idx] for t, r in zip(targets, rois, strict=True)])
        delta_targets = encode_deltas(matched, boxes[is_positive], self.box_delta_weights)
        channel = labels[is_positive] if deltas.shape[1] > 1 else torch.zeros_like(labels[is_positive])
        positive_deltas = deltas[is_positive, channel]
        box_loss = smooth_l1(positive_deltas, delta_targets, self.training_rules.box_smooth_l1_beta)
        # The sum with weight 0 keeps the layer in the graph when no region is positive.
        return classification_loss(class_logits, labels), box_loss / max(len(labels), 1) + 0.0 * deltas.sum()

    def _mask_loss(
        self, levels: list[Tensor], rois: list[RoITargets], targets: Sequence[Targets], images: ImageBatch
    ) -> Tensor:
        num_positives = [len(r.object_idx) for r in rois]
        boxes = torch.cat([r.boxes[:n] for r, n in zip(rois, num_positives, strict=True)])
        labels = torch.cat([r.labels[:n] for r, n in zip(rois, num_positives, strict=True)])
        image_idx = torch.arange(len(rois), device=boxes.device).repeat_interleave(
            torch.tensor(num_positives, device=boxes.device)
        )
        if len(boxes) == 0:  # nothing to learn from; weight 0 keeps the head's parameters in the graph
            return 0.0 * torch.stack([parameter.sum() for parameter in self.mask_head.parameters()]).sum()
        pooled = self.pooler(levels, boxes, image_idx, images.padded_size, self.mask_resolution)
        mask_logits = self.mask_head.of_labels(self.mask_head(pooled), labels)
        size = mask_logits.shape[-1]
        mask_targets = []
        for roi, n, target, (y, x) in zip(rois, num_positives, targets, images.origins, strict=True):
            shift = boxes.new_tensor([x, y, x - self.edge, y - self.edge])  # masks fill the box up to its edges
            mask_targets.append(target.masks.sample(roi.boxes[:n] - shift, roi.object_idx, size))
        return mask_loss(mask_logits, torch.cat(mask_targets))

    def _ceilings(self, hit_pre_nms: int, hit_post_nms: int, hit_limit: int) -> tuple[str, ...]:
        rules = self.proposal_rules
        sentences = []
        if hit_pre_nms:
            sentences.append(f"more than {rules.pre_nms_top_n} likely regions before NMS (rpn.pre_nms_top_n)")
        if hit_post_nms:
            sentences.append(f"more than {rules.post_nms_top_n} likely proposals (rpn.post_nms_top_n)")
        if hit_limit:
            limit = self.detection_rules.max_detections
            sentences.append(f"more than {limit} detections, the best {limit} kept (detection.max_detections)")
        return tuple(sentences)


def _image_idx(parts: Sequence[Proposals] | Sequence[RoITargets]) -> Tensor:
    """Image (R,) of each box of `parts`, one part for each image."""
    device = parts[0].boxes.device
    return torch.cat([torch.full((len(p.boxes),), i, device=device) for i, p in enumerate(parts)])


def _to_padded_frame(targets: Targets, origin: tuple[int, int], edge: float) -> Targets:
    """Targets whose boxes follow their image to `origin` (y, x), as the network's boxes have their edges."""
    y, x = origin
    if x == y == edge == 0:
        return targets
    shift = targets.boxes.new_tensor([x, y, x, y])
    last = targets.boxes.new_tensor([0, 0, edge, edge])
    # An object one pixel wide has no inclusive width; half a pixel keeps its logarithm finite.
    boxes = targets.boxes + shift - last
    boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)], dim=1)
    return replace(targets, boxes=boxes, ignore_boxes=targets.ignore_boxes + shift - last)
