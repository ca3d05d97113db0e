"""The shape of the object in a region.

Letters: R regions, K classes, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.layers import Norm, conv_stack


class MaskHead(nn.Module):
    """Convolutions, a 2x deconvolution and a mask for each class (arXiv:1703.06870, figure 4)."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        convs: int = 4,
        channels: int = 256,
        norm: Norm = "none",
        norm_eps: float = 1e-5,
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
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


def mask_loss(mask_logits: Tensor, mask_targets: Tensor) -> Tensor:
    """Mean binary cross entropy of (R, 28, 28) logits against 0 / 1 targets; 0 for no region."""
    loss = F.binary_cross_entropy_with_logits(mask_logits, mask_targets, reduction="sum")
    return loss / max(mask_logits.numel(), 1)
