"""Feature pyramid: every level gets the meaning of the deeper ones.

Letters: N images, C channels. Paper: arXiv:1612.03144.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.layers import ConvNorm, Norm

STRIDES = (4, 8, 16, 32, 64)  # of P2..P6


class FPN(nn.Module):
    """P2..P6 from C2..C5; P6 is every second cell of P5, for the RPN's largest anchors."""

    def __init__(self, in_channels: Sequence[int], channels: int = 256, norm: Norm = "none") -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(c, channels, 1, norm=norm, relu=False) for c in in_channels)
        self.output = nn.ModuleList(ConvNorm(channels, channels, 3, norm=norm, relu=False) for _ in in_channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """P2..P6, each (N, channels, h, w), from C2..C5."""
        top_down = self.lateral[-1](features[-1])
        levels = [self.output[-1](top_down)]
        for i in range(len(features) - 2, -1, -1):
            lateral = self.lateral[i](features[i])
            lateral += F.interpolate(top_down, size=lateral.shape[-2:], mode="nearest")
            top_down = lateral
            levels.insert(0, self.output[i](top_down))
        levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return levels
