"""U-Net: a body whose maps are joined again, from the coarsest to the finest, up to the resolution of the input.

Letters: N images, C channels, K classes, h w the network's input. Paper: arXiv:1505.04597. Convolutions are padded, so
that the logits have the size of the input, whatever that is.
"""

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["none", "bn"]


class Body(Protocol):
    """What a U-Net asks of a body (an `nn.Module`): maps at strides that double, from the finest to the coarsest."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


class PlainEncoder(nn.Module):
    """The contracting path of the paper: two 3x3 convolutions a level, halved by pooling, twice the channels each.

    Args:
        channels: of the first level.
        levels: with the one at the input's resolution; 5 in the paper.
    """

    def __init__(self, channels: int = 64, levels: int = 5, norm: Norm = "bn") -> None:
        super().__init__()
        self.channels = tuple(channels * 2**i for i in range(levels))
        self.strides = tuple(2**i for i in range(levels))
        before = (3, *self.channels)
        self.levels = nn.ModuleList(two_convs(before[i], own, norm) for i, own in enumerate(self.channels))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """The maps, each (N, C, h / stride, w / stride) with sides rounded up, from (N, 3, h, w)."""
        maps = [self.levels[0](pixels)]
        for level in self.levels[1:]:
            # Rounded up, so that a picture of any size has every level.
            maps.append(level(F.max_pool2d(maps[-1], 2, ceil_mode=True)))
        return maps


class UNet(nn.Module):
    """The expanding path: up by a 2x2 transposed convolution, joined with the body's map there, two convolutions.

    Where the body has no map at a resolution finer than its finest, the path goes up without one, but for the last
    step: there the picture itself passes two convolutions, so that edges are as sharp as they are in it.

    Args:
        body: gives the maps.
        channels: of the path at the input's resolution; twice as many at every coarser one.
        dropout: probability, in training, of each channel of the coarsest map to be dropped (section 3.1 of the paper).
    """

    def __init__(
        self, body: nn.Module, num_classes: int, *, channels: int = 64, norm: Norm = "bn", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.body = body
        of_stride = dict(zip(_of(body).strides, _of(body).channels, strict=True))
        coarsest = max(of_stride)
        if any(stride & (stride - 1) for stride in of_stride):
            raise ValueError(f"a U-Net needs a body whose strides are powers of two, got {_of(body).strides}")
        self.full = None if 1 in of_stride else two_convs(3, channels, norm)
        of_stride.setdefault(1, channels)
        self.strides = tuple(2**i for i in range(coarsest.bit_length() - 1))[::-1]  # of the path: coarsest / 2 .. 1
        self.dropout = nn.Dropout2d(dropout)
        self.ups, self.joins = nn.ModuleList(), nn.ModuleList()
        below = of_stride[coarsest]
        for stride in self.strides:
            own = channels * stride
            self.ups.append(nn.ConvTranspose2d(below, own, 2, stride=2))
            self.joins.append(two_convs(own + of_stride.get(stride, 0), own, norm))
            below = own
        self.logits = nn.Conv2d(below, num_classes, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K, h, w) of a batch (N, 3, h, w) of any size."""
        maps = dict(zip(_of(self.body).strides, self.body(pixels), strict=True))
        if self.full is not None:
            maps[1] = self.full(pixels)
        x = self.dropout(maps[max(maps)])
        height, width = pixels.shape[-2:]
        for stride, up, join in zip(self.strides, self.ups, self.joins, strict=True):
            # Sides were rounded up on the way down: the row or column too many goes.
            x = up(x)[..., : -(-height // stride), : -(-width // stride)]
            x = join(torch.cat([maps[stride], x], dim=1) if stride in maps else x)
        return self.logits(x)


def two_convs(in_channels: int, channels: int, norm: Norm) -> nn.Sequential:
    """Two 3x3 convolutions that keep the size, each with its norm and ReLU; started as arXiv:1502.01852 has it."""
    layers: list[nn.Module] = []
    for source in (in_channels, channels):
        conv = nn.Conv2d(source, channels, 3, padding=1, bias=norm == "none")
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        layers += [conv, *([nn.BatchNorm2d(channels)] if norm == "bn" else []), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _of(body: nn.Module) -> Body:
    return body  # pyright: ignore[reportReturnType]
