"""ResNet and ResNeXt bodies with the variants that published checkpoints use.

Letters: N images, C channels. Paper: arXiv:1512.03385; ResNeXt: arXiv:1611.05431.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.backbone import Backbone
from maskrcnn.model.layers import ConvNorm

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BODY_STRIDES = (4, 8, 16, 32)
PUBLISHED = {
    **{(depth, 1, 64): f"torchvision/resnet{depth}" for depth in BLOCKS},
    (50, 32, 4): "torchvision/resnext50_32x4d",
    (101, 32, 8): "torchvision/resnext101_32x8d",
    (101, 64, 4): "torchvision/resnext101_64x4d",
    (50, 1, 128): "torchvision/wide_resnet50_2",
    (101, 1, 128): "torchvision/wide_resnet101_2",
}
"""By depth, groups and width of a group: what torchvision publishes with weights."""


@dataclass(frozen=True)
class ConvStyle:
    """What all convolutions of a body share."""

    norm: Literal["frozen_bn", "bn", "gn"] = "frozen_bn"
    eps: float = 1e-5
    bias: bool = False


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, conv: Callable[..., ConvNorm], in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, channels, 3, stride=stride)
        self.conv2 = conv(channels, channels, 3, relu=False)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = conv(in_channels, channels, 1, stride=stride, relu=False)
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
        conv: Callable[..., ConvNorm],
        in_channels: int,
        channels: int,
        stride: int,
        *,
        inner_channels: int,
        groups: int,
        stride_in_1x1: bool,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        stride1, stride2 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = conv(in_channels, inner_channels, 1, stride=stride1)
        self.conv2 = conv(inner_channels, inner_channels, 3, stride=stride2, groups=groups, dilation=dilation)
        self.conv3 = conv(inner_channels, out_channels, 1, relu=False)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv(in_channels, out_channels, 1, stride=stride, relu=False)
        _start_as_identity(self.conv3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 4 channels, H / stride, W / stride)."""
        residual = self.conv3(self.conv2(self.conv1(x)))
        residual += self.shortcut(x)
        return F.relu_(residual)


def _start_as_identity(last: ConvNorm) -> None:
    """A trained norm starts its branch at zero (arXiv:1706.02677, section 5.1)."""
    if isinstance(last.norm, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.zeros_(last.norm.weight)


class ResNet(Backbone):
    """Stem and four stages; gives C2..C5 at strides 4, 8, 16, 32.

    Args:
        dilates_last: C5 has the stride of C4; its 3x3 convolutions are dilated instead, so that they see as much.
    """

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
        dilates_last: bool = False,
    ) -> None:
        super().__init__()
        style = style or ConvStyle()
        conv = partial(ConvNorm, norm=style.norm, eps=style.eps, bias=style.bias)
        self.stem_pool = stem_pool
        self.stem = conv(3, stem_channels, 7, stride=2)
        self.stages = nn.ModuleList()
        channels, in_channels = [], stem_channels
        for i, num_blocks in enumerate(BLOCKS[depth]):
            width, is_dilated = stem_channels * 2**i, dilates_last and i == 3
            blocks: list[nn.Module] = []
            for b in range(num_blocks):
                stride = 2 if b == 0 and i > 0 and not is_dilated else 1
                if depth < 50:
                    blocks.append(BasicBlock(conv, in_channels, width, stride))
                    in_channels = width
                    continue
                blocks.append(
                    Bottleneck(
                        conv,
                        in_channels,
                        width,
                        stride,
                        inner_channels=width * width_per_group // 64 * groups,
                        groups=groups,
                        stride_in_1x1=stride_in_1x1,
                        dilation=2 if is_dilated else 1,
                    )
                )
                in_channels = width * Bottleneck.expansion
            self.stages.append(nn.Sequential(*blocks))
            channels.append(in_channels)
        self.channels = tuple(channels)
        self.strides = (*BODY_STRIDES[:3], 16) if dilates_last else BODY_STRIDES
        is_published = style.norm != "gn" and not style.bias and not stride_in_1x1 and stem_pool == "symmetric"
        if is_published and stem_channels == 64:
            self.published = PUBLISHED.get((depth, groups, width_per_group))
        self.freeze(frozen_stages)

    def pop_stage(self) -> nn.Module:
        """Take the last stage away from the body, for work on regions: (R, C, S, S) to (R, 2 C, S / 2, S / 2)."""
        stage = self.stages[-1]
        del self.stages[-1]
        self.channels, self.strides = self.channels[:-1], self.strides[:-1]
        return stage

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """C2..C5, each (N, C, H / stride, W / stride), from (N, 3, H, W)."""
        x = self._pool(self.stem(pixels))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def parts(self) -> list[nn.Module]:
        """The stem and the stages."""
        return [self.stem, *self.stages]

    def published_name(self, entry: str) -> str:
        """Of an entry in torchvision's ResNet."""
        words = entry.split(".")
        if words[0] == "stem":
            return f"{'conv1' if words[1] == 'conv' else 'bn1'}.{words[-1]}"
        _, stage, block, unit, kind, leaf = words
        if unit == "shortcut":
            return f"layer{int(stage) + 1}.{block}.downsample.{0 if kind == 'conv' else 1}.{leaf}"
        return f"layer{int(stage) + 1}.{block}.{unit if kind == 'conv' else unit.replace('conv', 'bn')}.{leaf}"

    def _pool(self, x: Tensor) -> Tensor:
        if self.stem_pool == "symmetric":
            return F.max_pool2d(x, 3, stride=2, padding=1)
        # TensorFlow's SAME: what is missing to cover every pixel, the smaller half on the left and top.
        missing = [max((-(-side // 2) - 1) * 2 + 3 - side, 0) for side in (x.shape[-1], x.shape[-2])]
        left, top = missing[0] // 2, missing[1] // 2
        x = F.pad(x, (left, missing[0] - left, top, missing[1] - top), value=float("-inf"))
        return F.max_pool2d(x, 3, stride=2)
