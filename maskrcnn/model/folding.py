"""Batch norms folded into the layers before them: the same function with less arithmetic, for inference."""

import torch
from torch import nn

from maskrcnn.model.layers import ConvNorm, FrozenBatchNorm, fold_norm


@torch.no_grad()
def fold_batch_norms(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """`model` itself, in eval mode, with every batch norm made part of the convolution or linear layer before it.

    Results differ by the rounding of float32. A norm stays where the product would not be finite in `dtype`, the type
    that the weights will have: a variance and an eps of 0, or half precision.
    """
    for module in model.eval().modules():
        if isinstance(module, ConvNorm) and _fold(module.conv, module.norm, dtype):
            module.norm = nn.Identity()
        elif isinstance(module, nn.Sequential):
            for i in range(1, len(module)):
                if _fold(module[i - 1], module[i], dtype):
                    module[i] = nn.Identity()
    return model


def _fold(layer: nn.Module, norm: nn.Module, dtype: torch.dtype) -> bool:
    """Whether `norm` is now a part of `layer`."""
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        return False
    if not isinstance(norm, FrozenBatchNorm | nn.BatchNorm1d | nn.BatchNorm2d):
        return False
    weight, bias = fold_norm(layer, norm)
    if not (weight.to(dtype).isfinite().all() and bias.to(dtype).isfinite().all()):
        return False
    layer.weight.data = weight
    layer.bias = nn.Parameter(bias, requires_grad=False)
    return True
