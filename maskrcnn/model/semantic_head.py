"""The class of every pixel: what lies around the objects, and that there is one.

Letters: N images, L labels (0 for all objects, then stuff), C channels, h w the cells of P2. Paper: arXiv:1901.02446.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.box_head import Detections
from maskrcnn.model.layers import Norm, conv_stack
from maskrcnn.model.roi_targets import RoITargets
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.label_map import VOID_LABEL
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.targets import Targets

MAP = "semantic"
"""The name of what it finds, among the maps of a result."""
upsample = partial(F.interpolate, mode="bilinear", align_corners=False)
VALUES_AT_ONCE = 1 << 26
"""Logits at the size of the picture that are alive together when detecting: 256 MB."""


class SemanticHead(nn.Module):
    """Every level is brought to the size of the finest by convolutions and 2x upsampling; their sum is classified.

    A level of stride 2^k times the finest has k convolutions of 3 x 3, each with norm, ReLU and bilinear upsampling,
    the finest one convolution alone (figure 3 of the paper).

    Args:
        strides: of the levels, the finest first.
        weight: of its loss.
    """

    loss_names = ("semantic",)

    def __init__(
        self,
        in_channels: int,
        num_labels: int,
        *,
        strides: Sequence[int] = (4, 8, 16, 32),
        channels: int = 128,
        norm: Norm = "gn",
        weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.stride, self.weight = strides[0], weight
        self.num_doublings = [round(log2(stride / strides[0])) for stride in strides]
        self.levels = nn.ModuleList(conv_stack(in_channels, channels, max(1, k), norm) for k in self.num_doublings)
        self.predictor = nn.Conv2d(channels, num_labels, 1)
        nn.init.normal_(self.predictor.weight, std=0.01)
        if self.predictor.bias is not None:
            nn.init.zeros_(self.predictor.bias)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Logits (N, L, h, w) from P2.. (coarser ones than it has strides for are not looked at)."""
        parts = []
        for convs, num_doublings, x in zip(self.levels, self.num_doublings, levels, strict=False):
            assert isinstance(convs, nn.Sequential)
            for conv in convs:
                x = conv(x)
                if num_doublings:
                    x = upsample(x, scale_factor=2)
            parts.append(x)
        return self.predictor(sum(parts[1:], parts[0])).float()

    def losses(
        self, levels: Sequence[Tensor], images: ImageBatch, rois: Sequence[RoITargets], targets: Sequence[Targets]
    ) -> Losses:
        """Cross entropy at the size of the input, times the weight, over the number of labelled pixels."""
        logits = upsample(self(levels), scale_factor=self.stride)  # (N, L, H, W)
        labels = torch.full((len(images), *images.padded_size), VOID_LABEL, device=logits.device)
        for own, target, size, (y, x) in zip(labels, targets, images.sizes, images.origins, strict=True):
            if target.label_map is not None:
                own[y : y + size[0], x : x + size[1]] = target.label_map.sample(size)
        num = int((labels != VOID_LABEL).sum())
        total = F.cross_entropy(logits, labels, reduction="sum", ignore_index=VOID_LABEL)
        (name,) = self.loss_names
        return Losses({name: self.weight * total / max(num, 1)}, {name: num})

    def detect(self, levels: Sequence[Tensor], images: ImageBatch, found: Detections) -> Detections:
        """`found` with the label of every pixel of each picture, (height, width) uint8, as the map "semantic"."""
        logits = self(levels)
        return replace(found, maps={**found.maps, MAP: [self._labels(own, images, i) for i, own in enumerate(logits)]})

    def at_original(self, logits: Tensor, images: ImageBatch, i: int) -> Tensor:
        """Logits (L, h, w) of image `i` of a batch for each of its own pixels, (L, height, width).

        They are brought to the size of the input first and from there, without the padding, to that of the image, as
        where the published weights come from.
        """
        (height, width), (y, x) = images.sizes[i], images.origins[i]
        seen = upsample(logits[None], scale_factor=self.stride)
        return upsample(seen[..., y : y + height, x : x + width], size=images.original_sizes[i])[0]

    def _labels(self, logits: Tensor, images: ImageBatch, i: int) -> Tensor:
        """The best label of every pixel of image `i` by its logits (L, h, w), a few labels at a time."""
        size = images.original_sizes[i]
        area = max(images.padded_size[0] * images.padded_size[1], size[0] * size[1])
        best = logits.new_full(size, -torch.inf)
        labels = torch.zeros(size, dtype=torch.uint8, device=logits.device)
        first = 0
        for part in logits.split(max(1, VALUES_AT_ONCE // area)):
            value, label = self.at_original(part, images, i).max(dim=0)
            labels = torch.where(value > best, (label + first).to(torch.uint8), labels)
            best = torch.maximum(best, value)
            first += len(part)
        return labels
