"""Feature pyramid: every level gets the meaning of the deeper ones.

Letters: N images, C channels. Paper: arXiv:1612.03144.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.layers import ConvNorm, Norm

STRIDES = (4, 8, 16, 32, 64)  # of P2..P6 on a body of strides 4..32


class FPN(nn.Module):
    """P2..P6 from C2..C5; P6 is every second cell of P5, for the RPN's largest anchors.

    The body may give any number of maps at any strides: each becomes a level, and the last gets its coarser one.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        norm: Norm = "none",
        body_strides: Sequence[int] = STRIDES[:-1],
    ) -> None:
        super().__init__()
        self.channels = channels
        self.strides = (*body_strides, 2 * body_strides[-1])  # of the levels
        self.roi_strides = tuple(body_strides)  # of those that regions are read from: all but the last
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


class SingleLevel(nn.Module):
    """In place of a pyramid, the body's last map as it is: the paper's C4, and DC5."""

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels[-1]
        self.strides = self.roi_strides = (strides[-1],)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """[(N, channels, h, w)]."""
        return [features[-1]]
