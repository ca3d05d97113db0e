"""The shape of the object in a region.

Letters: R regions, D detections, K classes, C channels.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.box_head import Detections, image_idx_of
from maskrcnn.model.layers import Norm, conv_stack
from maskrcnn.model.roi_pooler import RoIPooler
from maskrcnn.model.roi_targets import RoITargets
from maskrcnn.structures.constants import constant
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.masks import PasteMode
from maskrcnn.structures.targets import Targets

CHUNK = 256  # regions that go through the head together when detecting: bounds its memory


class MaskHead(nn.Module):
    """Convolutions, a 2x deconvolution and a mask for each class (arXiv:1703.06870, figure 4).

    Args:
        resolution: bins that `pooler` reads along a side.
        paste_mode: how the masks are laid into the image.
        edge: what the last pixel's index lacks to the edge: 0 for continuous boxes, 1 for inclusive ones.
    """

    loss_names = ("mask",)

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        pooler: RoIPooler | None = None,
        resolution: int = 14,
        convs: int = 4,
        channels: int = 256,
        norm: Norm = "none",
        norm_eps: float = 1e-5,
        class_agnostic: bool = False,
        paste_mode: PasteMode = "exact",
        edge: float = 0.0,
    ) -> None:
        super().__init__()
        self.pooler, self.resolution = pooler or RoIPooler(), resolution
        self.mask_size = 2 * resolution // self.pooler.stage_stride
        self.paste_mode: PasteMode = paste_mode
        self.edge = edge
        self.class_agnostic = class_agnostic
        self.convs = conv_stack(in_channels, channels, convs, norm, norm_eps)
        self.deconv = nn.ConvTranspose2d(channels if convs else in_channels, channels, 2, stride=2)
        self.logits = nn.Conv2d(channels, 1 if class_agnostic else num_classes, 1)
        nn.init.kaiming_normal_(self.deconv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.logits.weight, std=0.001)
        for layer in (self.deconv, self.logits):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Mask logits (R, K or 1, 28, 28) from (R, C, 14, 14)."""
        return self.logits(F.relu_(self.deconv(self.convs(pooled)))).float()

    def of_labels(self, mask_logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (R, 28, 28) of each region's own class."""
        channel = torch.zeros_like(labels) if self.class_agnostic else labels
        return mask_logits[torch.arange(len(labels), device=labels.device), channel]

    def losses(
        self, levels: Sequence[Tensor], images: ImageBatch, rois: Sequence[RoITargets], targets: Sequence[Targets]
    ) -> Losses:
        """Of the positive regions' own classes, over the number of these regions."""
        num_positives = [len(r.object_idx) for r in rois]
        boxes = torch.cat([r.boxes[:n] for r, n in zip(rois, num_positives, strict=True)])
        labels = torch.cat([r.labels[:n] for r, n in zip(rois, num_positives, strict=True)])
        (name,) = self.loss_names
        if len(boxes) == 0:  # nothing to learn from; weight 0 keeps the head's parameters in the graph
            return Losses({name: 0.0 * torch.stack([p.sum() for p in self.parameters()]).sum()}, {name: 0})
        image_idx = image_idx_of([r.object_idx for r in rois])
        pooled = self.pooler(levels, boxes, image_idx, images.padded_size, self.resolution)
        mask_logits = self.of_labels(self(pooled), labels)
        mask_targets = []
        # Masks fill the box up to its edges.
        shifts = images.frames[0] - constant((0, 0, self.edge, self.edge), boxes.device)
        for roi, n, target, shift in zip(rois, num_positives, targets, shifts, strict=True):
            mask_targets.append(target.masks.sample(roi.boxes[:n] - shift, roi.object_idx, self.mask_size))
        return Losses({name: mask_loss(mask_logits, torch.cat(mask_targets))}, {name: len(boxes)})

    def detect(self, levels: Sequence[Tensor], images: ImageBatch, found: Detections) -> Detections:
        """`found` with mask probabilities (D, 28, 28), each for its own class."""
        if len(found.boxes) == 0:
            nothing = found.boxes.new_zeros((0, self.mask_size, self.mask_size))
            return replace(found, mask_probs=nothing, paste_mode=self.paste_mode)
        parts = self.pooler.in_parts(levels, found.boxes, found.image_idx, images.padded_size, self.resolution, CHUNK)
        probs = [
            self.of_labels(self(pooled), labels).sigmoid()
            for pooled, labels in zip(parts, found.labels.split(CHUNK), strict=True)
        ]
        return replace(found, mask_probs=torch.cat(probs), paste_mode=self.paste_mode)


def mask_loss(mask_logits: Tensor, mask_targets: Tensor) -> Tensor:
    """Mean binary cross entropy of (R, 28, 28) logits against 0 / 1 targets; 0 for no region."""
    loss = F.binary_cross_entropy_with_logits(mask_logits, mask_targets, reduction="sum")
    return loss / max(mask_logits.numel(), 1)
