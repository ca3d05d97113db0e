"""torchvision's Mask R-CNN, v1 and v2, any depth and number of classes: its tensors under our names.

Letters: K classes without the background. Source: the installed torchvision, `models/detection`.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_RENAMED_MODULES = (
    (r"backbone\.body\.conv1", "backbone.stem.conv"),
    (r"backbone\.body\.bn1", "backbone.stem.norm"),
    # Stages are counted from 1 there and from 0 here, so each has its own lines.
    *(
        (rf"backbone\.body\.layer{i + 1}\.(\d+)\.{theirs}", rf"backbone.stages.{i}.\1.{ours}")
        for i in range(4)
        for theirs, ours in (
            (r"conv(\d)", r"conv\2.conv"),
            (r"bn(\d)", r"conv\2.norm"),
            (r"downsample\.0", "shortcut.conv"),
            (r"downsample\.1", "shortcut.norm"),
        )
    ),
    # The optional parts are missing in files of torchvision before 0.13, among them the published v1 file.
    (r"backbone\.fpn\.inner_blocks\.(\d)(\.0)?", r"fpn.lateral.\1.conv"),
    (r"backbone\.fpn\.inner_blocks\.(\d)\.1", r"fpn.lateral.\1.norm"),
    (r"backbone\.fpn\.layer_blocks\.(\d)(\.0)?", r"fpn.output.\1.conv"),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.1", r"fpn.output.\1.norm"),
    (r"rpn\.head\.conv", "rpn.convs.0.conv"),
    (r"rpn\.head\.conv\.(\d)\.0", r"rpn.convs.\1.conv"),
    (r"rpn\.head\.cls_logits", "rpn.objectness"),
    (r"rpn\.head\.bbox_pred", "rpn.deltas"),
    (r"roi_heads\.box_head\.fc6", "box_head.fcs.0"),
    (r"roi_heads\.box_head\.fc7", "box_head.fcs.2"),
    (r"roi_heads\.box_head\.(\d)\.0", r"box_head.convs.\1.conv"),
    (r"roi_heads\.box_head\.(\d)\.1", r"box_head.convs.\1.norm"),
    (r"roi_heads\.box_head\.5", "box_head.fcs.0"),  # behind four convolutions and a flatten
    (r"roi_heads\.box_predictor\.cls_score", "box_head.class_logits"),
    (r"roi_heads\.box_predictor\.bbox_pred", "box_head.deltas"),
    *((rf"roi_heads\.mask_head\.mask_fcn{i + 1}", f"mask_head.convs.{i}.conv") for i in range(4)),
    (r"roi_heads\.mask_head\.(\d)\.0", r"mask_head.convs.\1.conv"),
    (r"roi_heads\.mask_head\.(\d)\.1", r"mask_head.convs.\1.norm"),
    (r"roi_heads\.mask_predictor\.conv5_mask", "mask_head.deconv"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits", "mask_head.logits"),
)
"""Their module, a pattern that must match as a whole, and ours."""


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of our model from the state of a torchvision `MaskRCNN`, in the spelling of any version.

    Their class 0 is the background: it becomes the last logit, and its deltas and mask, which nothing reads, go. So
    their label l is ours l - 1. The settings that belong to it are the presets `torchvision_v1` and `torchvision_v2`.

    Raises:
        ValueError: an entry is not one of torchvision's Mask R-CNN; names it.
    """
    return {_our_name(name): _without_background(name, tensor) for name, tensor in state_dict.items()}


def _our_name(name: str) -> str:
    module, _, leaf = name.rpartition(".")
    for pattern, ours in _RENAMED_MODULES:
        found = re.fullmatch(pattern, module)
        if found:
            return f"{found.expand(ours)}.{leaf}"
    raise ValueError(f"expected the weights of a torchvision Mask R-CNN, got an entry named {name!r}")


def _without_background(name: str, tensor: Tensor) -> Tensor:
    """Rows (K + 1), (4 K) and (K) of the class logits, deltas and masks, weight or bias; anything else as it is."""
    if name.startswith("roi_heads.box_predictor.cls_score."):
        return torch.cat([tensor[1:], tensor[:1]])
    if name.startswith("roi_heads.box_predictor.bbox_pred."):
        return tensor[4:]
    if name.startswith("roi_heads.mask_predictor.mask_fcn_logits."):
        return tensor[1:]
    return tensor
