"""Random weights under which a model behaves like a trained one: rounding stays small, and there is much to detect."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from maskrcnn.model.layers import ConvNorm, FrozenBatchNorm
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.resnet import BasicBlock, Bottleneck
from tests.tiny import batch

BRANCH_GAIN = 0.2  # of the last norm of a residual branch; sums of many full branches would drown the early ones
OUTPUTS = {  # mean and standard deviation that each output shall have over the picture
    "rpn.objectness": (-1.0, 2.0),
    "rpn.deltas": (0.0, 0.2),
    "box_head.class_logits": (0.0, 1.5),
    "box_head.deltas": (0.0, 1.0),
    "mask_head.logits": (0.0, 2.0),
    "semantic_head.predictor": (0.0, 2.0),
}


@torch.no_grad()
def condition(model: MaskRCNN, pictures: Sequence[np.ndarray], background_logit: float = 3.0) -> None:
    """Give every batch norm the statistics of its input over `pictures`, every output a useful spread.

    `background_logit` is added to the background's, so that it decides how many regions pass a score threshold.
    """
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = (module.conv3 if isinstance(module, Bottleneck) else module.conv2).norm
            assert isinstance(last.weight, Tensor)
            last.weight.data.fill_(BRANCH_GAIN)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | FrozenBatchNorm):
            handles.append(module.register_forward_pre_hook(_take_statistics))
        if isinstance(module, ConvNorm) and isinstance(module.norm, FrozenBatchNorm):  # is never called itself
            handles.append(module.register_forward_pre_hook(_take_statistics_behind))
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.data.normal_(std=0.05)  # so that a bias in a wrong place is seen
        if name in OUTPUTS:
            handles.append(module.register_forward_hook(partial(_spread, target=OUTPUTS[name])))
    model.eval().detect(batch(model, pictures))
    for handle in handles:
        handle.remove()
    model.box_head.class_logits.bias.data[-1] += background_logit


def _take_statistics(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    """Once, at the first call."""
    if hasattr(norm, "has_statistics"):
        return
    norm.has_statistics = True  # pyright: ignore[reportAttributeAccessIssue]
    axes = tuple(axis for axis in range(inputs[0].ndim) if axis != 1)
    variance, mean = torch.var_mean(inputs[0], dim=axes, correction=0)
    assert isinstance(norm.running_mean, Tensor)
    assert isinstance(norm.running_var, Tensor)
    assert isinstance(norm.bias, Tensor)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance + 1e-3)
    norm.bias.data.uniform_(-0.2, 0.2)


def _take_statistics_behind(layer: ConvNorm, inputs: tuple[Tensor]) -> None:
    _take_statistics(layer.norm, (layer.conv(inputs[0]),))


def _spread(layer: nn.Module, inputs: tuple[Tensor], output: Tensor, target: tuple[float, float]) -> Tensor:
    """Rescale `layer` so that each of its channels has the mean and deviation `target`; gives its output then."""
    channels = output.transpose(0, 1).flatten(1)
    if not hasattr(layer, "is_spread"):  # the RPN sees five levels; the first and largest counts
        layer.is_spread = True  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(layer.weight, Tensor)
        assert isinstance(layer.bias, Tensor)
        gain = target[1] / channels.std(dim=1).clamp(min=1e-6)
        layer.weight.data.mul_(gain.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.data.copy_(target[0] + gain * (layer.bias - channels.mean(dim=1)))
    return layer.forward(inputs[0])
