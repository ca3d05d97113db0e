"""Convolution with its norm, the unit that every part of the network is made of."""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["none", "frozen_bn", "bn", "gn"]
GROUPS = 32  # arXiv:1803.08494's default


class FrozenBatchNorm(nn.Module):
    """Batch norm, of maps or of vectors, whose statistics and affine never change: buffers, not parameters."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def fold_norm(
    layer: nn.Conv2d | nn.Linear, norm: FrozenBatchNorm | nn.BatchNorm1d | nn.BatchNorm2d
) -> tuple[Tensor, Tensor]:
    """Weight and bias with which `layer` alone does what it does with `norm`, in eval mode, behind it."""
    assert isinstance(norm.running_mean, Tensor)
    assert isinstance(norm.running_var, Tensor)
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    mean = norm.running_mean if layer.bias is None else norm.running_mean - layer.bias
    return layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1)), norm.bias - mean * scale


def build_norm(kind: Norm, channels: int, eps: float = 1e-5) -> nn.Module:
    """The norm of that name over `channels`."""
    if kind == "frozen_bn":
        return FrozenBatchNorm(channels, eps)
    if kind == "bn":
        return nn.BatchNorm2d(channels, eps)
    if kind == "gn":
        if channels % GROUPS:
            raise ValueError(f"group norm needs a multiple of {GROUPS} channels, got {channels}")
        return nn.GroupNorm(GROUPS, channels, eps)
    return nn.Identity()


class ConvNorm(nn.Module):
    """Convolution that keeps the size (at stride 1), then norm, then ReLU unless it is told not to."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        norm: Norm = "none",
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        bias: bool | None = None,
        eps: float = 1e-5,
        relu: bool = True,
    ) -> None:
        super().__init__()
        has_bias = norm == "none" if bias is None else bias
        padding = kernel // 2 * dilation
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, has_bias)
        self.norm = build_norm(norm, out_channels, eps)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu" if relu else "linear")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        if isinstance(self.norm, FrozenBatchNorm):  # in the weights it takes no pass over the map and no copy of it
            conv, (weight, bias) = self.conv, fold_norm(self.conv, self.norm)
            return self.relu(F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups))
        return self.relu(self.norm(self.conv(x)))


def conv_stack(in_channels: int, channels: int, num: int, norm: Norm, eps: float = 1e-5) -> nn.Sequential:
    """`num` 3x3 convolutions of `channels`, each with norm and ReLU."""
    conv = partial(ConvNorm, kernel=3, norm=norm, eps=eps)
    return nn.Sequential(*(conv(in_channels if i == 0 else channels, channels) for i in range(num)))
