"""The network that a set of weights belongs to, from the names and shapes of its tensors under our names."""

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from maskrcnn.model.resnet import BLOCKS

PARTS = {
    "backbone": "backbone.stages.0.0.conv1.conv.weight",
    "fpn": "fpn.lateral.0.conv.weight",
    "rpn": "rpn.convs.0.conv.weight",
    "box_head": "box_head.fcs.0.weight",
    "class_logits": "box_head.class_logits.weight",
    "mask_head": "mask_head.convs.0.conv.weight",
    "mask_logits": "mask_head.logits.weight",
}
"""An entry of every part, without which nothing can be said about it."""


def missing_parts(tensors: Mapping[str, Tensor]) -> list[str]:
    """Those of a whole Mask R-CNN that `tensors` lack, by the entry that should be there."""
    return [name for name in PARTS.values() if name not in tensors]


def num_classes_of(tensors: Mapping[str, Tensor]) -> int | None:
    """K, without the background; None where nothing tells."""
    if PARTS["class_logits"] in tensors:
        return tensors[PARTS["class_logits"]].shape[0] - 1
    return None


def structure_of(tensors: Mapping[str, Tensor], batch_norm: str = "bn") -> dict[str, Any]:
    """The differences of `ModelSettings` that names and shapes decide, group by group; parts that lack are left out.

    Whether a batch norm is frozen leaves no trace in them, so `batch_norm` ("bn" or "frozen_bn") says it.

    Raises:
        ValueError: the body is no ResNet that can be built.
    """
    groups: dict[str, Any] = {}
    if PARTS["backbone"] in tensors:
        groups["backbone"] = _body(tensors, batch_norm)
    if PARTS["fpn"] in tensors:
        channels = tensors[PARTS["fpn"]].shape[0]
        groups["fpn"] = {"channels": channels, "norm": _norm_of("fpn.lateral.0.norm", tensors, batch_norm)}
    if PARTS["rpn"] in tensors:
        convs = _count(r"rpn\.convs\.(\d+)\.conv\.weight", tensors)
        groups["rpn"] = {"convs": convs, "channels": tensors[PARTS["rpn"]].shape[0]}
    if PARTS["box_head"] in tensors:
        groups["box_head"], resolution = _box_head(tensors, batch_norm)
        if resolution:
            groups["roi"] = {"box_resolution": resolution}
    if PARTS["mask_head"] in tensors:
        groups["mask_head"] = {
            "convs": _count(r"mask_head\.convs\.(\d+)\.conv\.weight", tensors),
            "channels": tensors[PARTS["mask_head"]].shape[0],
            "norm": _norm_of("mask_head.convs.0.norm", tensors, batch_norm),
            "class_agnostic": _is_agnostic(PARTS["mask_logits"], 1, tensors),
        }
    return groups


def _box_head(tensors: Mapping[str, Tensor], batch_norm: str) -> tuple[dict[str, Any], int | None]:
    """Its settings, and the side of the regions it reads."""
    fcs = [name for name in tensors if re.fullmatch(r"box_head\.fcs\.\d+\.weight", name) and tensors[name].ndim == 2]
    fc_channels, flat = tensors[PARTS["box_head"]].shape
    head: dict[str, Any] = {
        "convs": _count(r"box_head\.convs\.(\d+)\.conv\.weight", tensors),
        "conv_norm": _norm_of("box_head.convs.0.norm", tensors, batch_norm),
        "fcs": len(fcs),
        "fc_channels": fc_channels,
        "fc_norm": _norm_of("box_head.fcs.1", tensors, batch_norm),
        "class_agnostic": _is_agnostic("box_head.deltas.weight", 4, tensors),
    }
    before = tensors.get("box_head.convs.0.conv.weight" if head["convs"] else PARTS["fpn"])
    if head["convs"] and before is not None:
        head["conv_channels"] = before.shape[0]
    return head, isqrt(flat // before.shape[0]) if before is not None else None


def _is_agnostic(name: str, rows_of_a_class: int, tensors: Mapping[str, Tensor]) -> bool:
    num_classes = num_classes_of(tensors) or 1
    return num_classes > 1 and name in tensors and tensors[name].shape[0] == rows_of_a_class


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
