"""Mask R-CNN, the whole flow on one page. What happens inside a part is in the file of its name.

Letters: N images, A anchors, P proposals, R regions, D detections, K classes. Paper: arXiv:1703.06870.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from maskrcnn.model.backbone import Backbone
from maskrcnn.model.box_head import BoxHead, Detections, to_instances
from maskrcnn.model.fpn import FPN, SingleLevel
from maskrcnn.model.preprocess import Normalise, Resize
from maskrcnn.model.roi_targets import RoITargets
from maskrcnn.model.rpn import RPN, Dense
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.targets import Targets


class Head(Protocol):
    """What comes behind the box head: the mask head, and any other (an `nn.Module`) that is built beside it."""

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Of its losses, which no other head has."""
        ...

    def losses(
        self, levels: Sequence[Tensor], images: ImageBatch, rois: Sequence[RoITargets], targets: Sequence[Targets]
    ) -> Losses:
        """Its losses, under `loss_names`; every trainable parameter takes part, also where there is no object."""
        ...

    def detect(self, levels: Sequence[Tensor], images: ImageBatch, found: Detections) -> Detections:
        """`found` with what it knows about each: masks, other scores, or fields in `extra`."""
        ...


class MaskRCNN(nn.Module):
    """The parts and the order in which an image passes through them. `build_model` makes one from settings."""

    def __init__(
        self,
        *,
        resize: Resize,
        normalise: Normalise,
        backbone: Backbone,
        fpn: FPN | SingleLevel,
        rpn: RPN,
        box_head: BoxHead,
        heads: Mapping[str, Head],
        class_names: Sequence[str],
    ) -> None:
        """`heads`, by the names under which their weights are kept, see the detections in their order."""
        super().__init__()
        self.resize, self.normalise, self.class_names = resize, normalise, tuple(class_names)
        self.backbone, self.fpn, self.rpn, self.box_head = backbone, fpn, rpn, box_head
        for name, head in heads.items():
            assert isinstance(head, nn.Module)
            self.add_module(name, head)
        self.head_names = tuple(heads)

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
        anchors = self.rpn.anchors(images.padded_size, dense.grids, images.pixels.device)
        proposals = self.rpn.propose(dense, anchors, images, self.rpn.rules)
        found = self.box_head.detect(dense.levels, images, proposals)
        found = replace(found, limits=self.rpn.limits(proposals) + found.limits)
        for head in self.heads:
            found = head.detect(dense.levels, images, found)
        return to_instances(found, images, self.class_names)

    def losses(
        self,
        images: ImageBatch,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator | None] | None = None,
    ) -> Losses:
        """The losses of a batch, of the names `loss_names`, and what they are means over.

        The keys are always the same and every trainable parameter takes part, also where there is no object. Boxes
        of `targets` are in the pixels of the resized images. `generators`, on the device, draw what is drawn about each
        image; None is torch's global random state there.
        """
        dense = self.dense(images.pixels)
        anchors = self.rpn.anchors(images.padded_size, dense.grids, images.pixels.device)
        targets = images.to_padded(targets, self.rpn.edge)
        losses = self.rpn.losses(dense, anchors, targets, generators)
        proposals = self.rpn.propose(dense, anchors, images, self.rpn.train_rules)
        rois = self.box_head.sample(proposals, targets, generators)
        losses |= self.box_head.losses(dense.levels, images, rois, targets)
        for head in self.heads:
            losses |= head.losses(dense.levels, images, rois, targets)
        return losses

    def forward(self, images: ImageBatch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """The losses alone, scalars by name."""
        return self.losses(images, targets).means

    @property
    def heads(self) -> list[Head]:
        """What comes behind the box head, in its order."""
        return [getattr(self, name) for name in self.head_names]

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Of all losses, in the order in which an image meets the heads."""
        heads = (self.rpn, self.box_head, *self.heads)
        return tuple(name for head in heads for name in head.loss_names)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.rpn.objectness.weight.device
