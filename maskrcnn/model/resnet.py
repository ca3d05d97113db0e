"""ResNet and ResNeXt bodies with the variants that published checkpoints use.

Letters: N images, C channels. Paper: arXiv:1512.03385; ResNeXt: arXiv:1611.05431.
"""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.layers import ConvNorm

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BODY_STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class ConvStyle:
    """What all convolutions of a body share."""

    norm: Literal["frozen_bn", "bn", "gn"] = "frozen_bn"
    eps: float = 1e-5
    bias: bool = False

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, groups: int = 1, relu: bool = True
    ) -> ConvNorm:
        """A convolution of this style."""
        return ConvNorm(
            in_channels,
            out_channels,
            kernel,
            norm=self.norm,
            stride=stride,
            bias=self.bias,
            eps=self.eps,
            groups=groups,
            relu=relu,
        )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, style: ConvStyle, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = style.conv(in_channels, channels, 3, stride)
        self.conv2 = style.conv(channels, channels, 3, relu=False)
        self.shortcut = _shortcut(style, in_channels, channels, stride)
        _start_as_identity(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels, H / stride, W / stride)."""
        residual = self.conv2(self.conv1(x))
        residual += self.shortcut(x)  # in place: on a CPU a new tensor of this size costs more than the sum
        return F.relu_(residual)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; the stride sits in the first or in the second."""

    expansion = 4

    def __init__(
        self,
        style: ConvStyle,
        in_channels: int,
        channels: int,
        stride: int,
        *,
        inner_channels: int,
        groups: int,
        stride_in_1x1: bool,
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        stride1, stride2 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = style.conv(in_channels, inner_channels, 1, stride1)
        self.conv2 = style.conv(inner_channels, inner_channels, 3, stride2, groups=groups)
        self.conv3 = style.conv(inner_channels, out_channels, 1, relu=False)
        self.shortcut = _shortcut(style, in_channels, out_channels, stride)
        _start_as_identity(self.conv3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 4 channels, H / stride, W / stride)."""
        residual = self.conv3(self.conv2(self.conv1(x)))
        residual += self.shortcut(x)
        return F.relu_(residual)


def _shortcut(style: ConvStyle, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return style.conv(in_channels, out_channels, 1, stride, relu=False)


def _start_as_identity(last: ConvNorm) -> None:
    """A trained norm starts its branch at zero (arXiv:1706.02677, section 5.1)."""
    if isinstance(last.norm, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.zeros_(last.norm.weight)


class ResNet(nn.Module):
    """Stem and four stages; gives C2..C5 at strides 4, 8, 16, 32."""

    def __init__(
        self,
        depth: int = 101,
        *,
        style: ConvStyle | None = None,
        stem_channels: int = 64,
        groups: int = 1,
        width_per_group: int = 64,
        stride_in_1x1: bool = False,
        stem_pool: Literal["symmetric", "same"] = "symmetric",
        frozen_stages: int = 0,
    ) -> None:
        super().__init__()
        style = style or ConvStyle()
        self.stem_pool = stem_pool
        self.frozen_stages = frozen_stages
        self.stem = style.conv(3, stem_channels, 7, 2)
        self.stages = nn.ModuleList()
        self.out_channels: list[int] = []
        in_channels = stem_channels
        for i, num_blocks in enumerate(BLOCKS[depth]):
            channels = stem_channels * 2**i
            blocks: list[nn.Module] = []
            for b in range(num_blocks):
                stride = 2 if b == 0 and i > 0 else 1
                if depth < 50:
                    blocks.append(BasicBlock(style, in_channels, channels, stride))
                    in_channels = channels
                    continue
                inner = channels * width_per_group // 64 * groups
                blocks.append(
                    Bottleneck(
                        style,
                        in_channels,
                        channels,
                        stride,
                        inner_channels=inner,
                        groups=groups,
                        stride_in_1x1=stride_in_1x1,
                    )
                )
                in_channels = channels * Bottleneck.expansion
            self.stages.append(nn.Sequential(*blocks))
            self.out_channels.append(in_channels)
        self.freeze(frozen_stages)

    def freeze(self, num_parts: int) -> None:
        """Train no longer the first `num_parts` of stem and stages, beside those that are frozen already."""
        self.frozen_stages = max(self.frozen_stages, num_parts)
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """C2..C5, each (N, C, H / stride, W / stride), from (N, 3, H, W)."""
        x = self._pool(self.stem(pixels))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def train(self, mode: bool = True) -> "ResNet":
        """Training mode, except for frozen stages: their batch norms keep their statistics."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        return [self.stem, *self.stages][: self.frozen_stages]

    def _pool(self, x: Tensor) -> Tensor:
        if self.stem_pool == "symmetric":
            return F.max_pool2d(x, 3, stride=2, padding=1)
        # TensorFlow's SAME: what is missing to cover every pixel, the smaller half on the left and top.
        missing = [max((-(-side // 2) - 1) * 2 + 3 - side, 0) for side in (x.shape[-1], x.shape[-2])]
        left, top = missing[0] // 2, missing[1] // 2
        x = F.pad(x, (left, missing[0] - left, top, missing[1] - top), value=float("-inf"))
        return F.max_pool2d(x, 3, stride=2)
