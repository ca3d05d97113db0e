"""The network that a set of weights belongs to, from the names and shapes of its tensors under our names."""

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any, Literal

from torch import Tensor

from maskrcnn.model.resnet import BLOCKS

REQUIRED = (
    "backbone.stem.conv.weight",
    "backbone.stages.0.0.conv2.conv.weight",
    "fpn.lateral.0.conv.weight",
    "rpn.convs.0.conv.weight",
    "rpn.objectness.weight",
    "box_head.fcs.0.weight",
    "box_head.class_logits.weight",
    "box_head.deltas.weight",
    "mask_head.convs.0.conv.weight",
    "mask_head.logits.weight",
)
"""Without these the network cannot be told."""


def structure_of(tensors: Mapping[str, Tensor], batch_norm: Literal["bn", "frozen_bn"]) -> tuple[int, dict[str, Any]]:
    """Number of classes without the background, and the differences of `ModelSettings` that the shapes decide.

    Whether a batch norm is frozen leaves no trace in them, so `batch_norm` says it.

    Raises:
        ValueError: a part is missing, or the body is no ResNet that can be built.
    """
    missing = [name for name in REQUIRED if name not in tensors]
    if missing:
        raise ValueError(f"not a whole Mask R-CNN: no {', '.join(missing)}")
    rows = {name: tensors[name].shape[0] for name in REQUIRED}
    num_classes = rows["box_head.class_logits.weight"] - 1
    box_convs = _count(r"box_head\.convs\.(\d+)\.conv\.weight", tensors)
    fcs = [name for name in tensors if re.fullmatch(r"box_head\.fcs\.\d+\.weight", name) and tensors[name].ndim == 2]
    fc_channels, flat = tensors["box_head.fcs.0.weight"].shape
    fpn_channels = rows["fpn.lateral.0.conv.weight"]
    conv_channels = tensors["box_head.convs.0.conv.weight"].shape[0] if box_convs else fpn_channels
    return num_classes, {
        "backbone": _body(tensors, batch_norm),
        "fpn": {"channels": fpn_channels, "norm": _norm_of("fpn.lateral.0.norm", tensors, batch_norm)},
        "rpn": {
            "convs": _count(r"rpn\.convs\.(\d+)\.conv\.weight", tensors),
            "channels": rows["rpn.convs.0.conv.weight"],
        },
        "roi": {"box_resolution": isqrt(flat // conv_channels)},
        "box_head": {
            "convs": box_convs,
            "conv_channels": conv_channels,
            "conv_norm": _norm_of("box_head.convs.0.norm", tensors, batch_norm),
            "fcs": len(fcs),
            "fc_channels": fc_channels,
            "fc_norm": _norm_of("box_head.fcs.1", tensors, batch_norm),
            "class_agnostic": num_classes > 1 and rows["box_head.deltas.weight"] == 4,
        },
        "mask_head": {
            "convs": _count(r"mask_head\.convs\.(\d+)\.conv\.weight", tensors),
            "channels": rows["mask_head.convs.0.conv.weight"],
            "norm": _norm_of("mask_head.convs.0.norm", tensors, batch_norm),
            "class_agnostic": num_classes > 1 and rows["mask_head.logits.weight"] == 1,
        },
    }


def body_name(settings: Mapping[str, Any]) -> str:
    """What the literature calls the body of these settings of the backbone: "R101-FPN", "X101-32x8d-FPN"."""
    groups = settings.get("groups", 1)
    kind = f"X{settings['depth']}-{groups}x{settings['width_per_group']}d" if groups > 1 else f"R{settings['depth']}"
    return f"{kind}-FPN"


def _body(tensors: Mapping[str, Tensor], batch_norm: str) -> dict[str, Any]:
    blocks = tuple(_count(rf"backbone\.stages\.{i}\.(\d+)\.conv1\.conv\.weight", tensors) for i in range(4))
    has_bottlenecks = "backbone.stages.0.0.conv3.conv.weight" in tensors
    depths = [depth for depth, nums in BLOCKS.items() if nums == blocks and (depth >= 50) == has_bottlenecks]
    if not depths:
        known = ", ".join(f"R{depth} {nums}" for depth, nums in BLOCKS.items())
        raise ValueError(f"a body of {blocks} {'bottleneck' if has_bottlenecks else 'basic'} blocks; known: {known}")
    stem_channels = tensors["backbone.stem.conv.weight"].shape[0]
    body: dict[str, Any] = {
        "depth": depths[0],
        "stem_channels": stem_channels,
        "conv_bias": "backbone.stem.conv.bias" in tensors,
        "norm": _norm_of("backbone.stem.norm", tensors, batch_norm),
    }
    if has_bottlenecks:
        inner_channels, per_group = tensors["backbone.stages.0.0.conv2.conv.weight"].shape[:2]
        body |= {"groups": inner_channels // per_group, "width_per_group": per_group * 64 // stem_channels}
    return body


def _norm_of(module: str, tensors: Mapping[str, Tensor], batch_norm: str) -> str:
    if f"{module}.running_mean" in tensors:
        return batch_norm
    # A linear layer has two axes, a norm one.
    return "gn" if f"{module}.weight" in tensors and tensors[f"{module}.weight"].ndim == 1 else "none"


def _count(pattern: str, tensors: Mapping[str, Tensor]) -> int:
    """Number of modules in a row, from 0 on."""
    found = {int(match[1]) for name in tensors if (match := re.fullmatch(pattern, name))}
    return next(i for i in range(len(found) + 1) if i not in found)
