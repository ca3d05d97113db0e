"""Our state under the names of mmdetection, and files as it writes them: the inverse of what is to be tested."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HEADS = {
    "rpn.objectness": "rpn_head.rpn_cls",
    "rpn.deltas": "rpn_head.rpn_reg",
    "box_head.class_logits": "roi_head.bbox_head.fc_cls",
    "box_head.deltas": "roi_head.bbox_head.fc_reg",
    "mask_head.deconv": "roi_head.mask_head.upsample",
    "mask_head.logits": "roi_head.mask_head.conv_logits",
}


def to_mmdetection(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As 2.x and 3.x have it: layouts and the order of classes are the same."""
    num_rpn_convs = sum(re.fullmatch(r"rpn\.convs\.\d+\.conv\.weight", name) is not None for name in state)
    has_group_norms = "backbone.stem.norm.running_mean" not in state
    return {their_name(name, num_rpn_convs, has_group_norms): tensor for name, tensor in state.items()}


def their_name(name: str, num_rpn_convs: int, has_group_norms: bool) -> str:
    module, _, leaf = name.rpartition(".")
    if module in HEADS:
        return f"{HEADS[module]}.{leaf}"
    part, *middle, kind = module.split(".")
    norm = "gn" if has_group_norms else "bn"
    conv_or_norm = "conv" if kind == "conv" else norm
    if part == "backbone":
        if middle == ["stem"]:
            return f"backbone.{conv_or_norm}1.{leaf}"
        _, stage, block, layer = middle  # stages, 0, 0, conv1
        inner = f"downsample.{int(kind == 'norm')}" if layer == "shortcut" else f"{conv_or_norm}{layer[-1]}"
        return f"backbone.layer{int(stage) + 1}.{block}.{inner}.{leaf}"
    if part == "fpn":
        return f"neck.{'lateral' if middle[0] == 'lateral' else 'fpn'}_convs.{middle[1]}.{conv_or_norm}.{leaf}"
    if part == "rpn":
        return f"rpn_head.rpn_conv.{middle[1]}.conv.{leaf}" if num_rpn_convs > 1 else f"rpn_head.rpn_conv.{leaf}"
    if middle == ["fcs"]:  # Linear, ReLU, Linear, ReLU
        return f"roi_head.bbox_head.shared_fcs.{int(kind) // 2}.{leaf}"
    convs = "bbox_head.shared_convs" if part == "box_head" else "mask_head.convs"
    return f"roi_head.{convs}.{middle[1]}.{conv_or_norm}.{leaf}"


def to_mmdetection_1x(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return to_1x(to_mmdetection(state))


def to_1x(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """From 2.x: no `roi_head`, and the background first, also in deltas and masks, where nothing trains it."""
    of_1x = {}
    for name, tensor in weights.items():
        name = name.removeprefix("roi_head.")
        untrained = torch.full_like(tensor[:4], 9.0) if tensor.ndim else tensor
        if name.startswith("bbox_head.fc_cls."):
            tensor = torch.roll(tensor, 1, dims=0)
        elif name.startswith("bbox_head.fc_reg."):
            tensor = torch.cat([untrained, tensor])
        elif name.startswith("mask_head.conv_logits."):
            tensor = torch.cat([untrained[:1], tensor])
        of_1x[name] = tensor
    return of_1x


def write_pth(path: Path, weights: Mapping[str, Tensor], **meta: Any) -> None:
    """As its runners write them, whose `meta` holds a config as text."""
    optimizer = {"state": {}, "param_groups": [{"lr": 0.02}]}
    torch.save(
        {"meta": {"epoch": 12, "iter": 87960, **meta}, "state_dict": dict(weights), "optimizer": optimizer}, path
    )
