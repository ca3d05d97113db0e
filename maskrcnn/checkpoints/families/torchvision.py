"""torchvision's Mask R-CNN, v1 and v2, any depth and number of classes; and its ResNets, which make a backbone.

Letters: K classes without the background. Source: the installed torchvision, `models/detection`.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from maskrcnn.checkpoints.families.coco_classes import CLASS_NAMES_WITH_GAPS
from maskrcnn.checkpoints.source import Conventions, Source, in_words, renamed
from maskrcnn.config import overlay

_RENAMED_MODULES = (
    (r"(?:backbone\.body\.)?conv1", "backbone.stem.conv"),
    (r"(?:backbone\.body\.)?bn1", "backbone.stem.norm"),
    # Stages are counted from 1 there and from 0 here, so each has its own lines.
    *(
        (rf"(?:backbone\.body\.)?layer{i + 1}\.(\d+)\.{theirs}", rf"backbone.stages.{i}.\1.{ours}")
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
ENTRIES = {
    "backbone.stem.conv.weight": "backbone.body.conv1.weight",
    "backbone.stages.0.0.conv2.conv.weight": "backbone.body.layer1.0.conv2.weight",
    "fpn.lateral.0.conv.weight": "backbone.fpn.inner_blocks.0.0.weight",
    "rpn.convs.0.conv.weight": "rpn.head.conv.0.0.weight",
    "box_head.fcs.0.weight": "roi_heads.box_head.fc6.weight",
    "box_head.class_logits.weight": "roi_heads.box_predictor.cls_score.weight",
    "mask_head.convs.0.conv.weight": "roi_heads.mask_head.0.0.weight",
    "mask_head.logits.weight": "roi_heads.mask_predictor.mask_fcn_logits.weight",
}
"""What the network is known by: our name and theirs, as the latest version spells it."""


_PRESETS = ("torchvision_v1", "torchvision_own", "torchvision_v2")
_OWN_EPS: dict[str, Any] = {"backbone": {"norm_eps": 1e-5}}  # torchvision's default, where nothing says otherwise


def is_family(names: Collection[str]) -> bool:
    """Whether tensors of these names are a torchvision Mask R-CNN, or one of its ResNets."""
    return any(name.startswith("backbone.body.") for name in names) or _is_backbone(names)


def our_name(name: str) -> str:
    """Of an entry of theirs; one that is not known keeps its name."""
    return renamed(name, _RENAMED_MODULES)


def convert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of our model from those of a torchvision `MaskRCNN`, in the spelling of any version, or of a ResNet.

    Their class 0 is the background: it becomes the last logit, and its deltas and mask, which nothing reads, go. So
    their label l is ours l - 1. The classifier of a ResNet goes; an entry that is not known keeps its name.
    """
    kept = {name: t for name, t in tensors.items() if not name.startswith("fc.")} if _is_backbone(tensors) else tensors
    return {our_name(name): _without_background(name, tensor) for name, tensor in kept.items()}


def conventions(source: Source, num_classes: int, structure: dict[str, Any], preset: str | None = None) -> Conventions:
    """What makes these weights give torchvision's numbers.

    Raises:
        ValueError: `preset` is not torchvision's.
    """
    if preset not in (None, *_PRESETS):
        raise ValueError(f"{source.path}: weights of torchvision, so the preset is {' or '.join(_PRESETS)}")
    has_fpn_norm = structure.get("fpn", {}).get("norm", "none") != "none"
    chosen = preset or ("torchvision_v2" if has_fpn_norm else "torchvision_v1")
    if _is_backbone(source.tensors):
        return Conventions("torchvision ResNet", chosen, overlay(_OWN_EPS, {"backbone": {"norm": "frozen_bn"}}))
    family = "torchvision v2" if chosen == "torchvision_v2" else "torchvision v1"
    facts, assumptions = ["RGB", "stride in 3x3"], []
    is_coco = num_classes == len(CLASS_NAMES_WITH_GAPS)
    differences: dict[str, Any] = {}
    if preset is None:
        assumptions.append(in_words())
    if chosen != "torchvision_v2":
        if any(name.endswith(".num_batches_tracked") for name in source.tensors):
            differences = overlay(_OWN_EPS, {"backbone": {"norm": "bn"}})  # made with weights=None
            facts.append("trained batch norms")
        elif structure.get("backbone", {}).get("depth") != 50:
            differences = _OWN_EPS  # torchvision publishes no other body than the R50
        elif preset is not None:
            facts.append(f"norm eps {'1e-5' if preset == 'torchvision_own' else '0'} (preset {preset})")
        elif "rpn.head.conv.weight" in source.tensors and is_coco:
            facts.append("norm eps 0: the spelling of the published file")
        else:
            assumptions.append("norm eps 0 as when fine-tuned from the published file (else preset torchvision_own)")
    if is_coco:
        assumptions.append("the class names of COCO")
    return Conventions(
        family,
        chosen,
        differences,
        class_names=CLASS_NAMES_WITH_GAPS if is_coco else (),
        facts=tuple(facts),
        assumptions=tuple(assumptions),
    )


def _is_backbone(names: Collection[str]) -> bool:
    return "conv1.weight" in names and "layer1.0.conv1.weight" in names


def _without_background(name: str, tensor: Tensor) -> Tensor:
    """Rows (K + 1), (4 K) and (K) of the class logits, deltas and masks, weight or bias; anything else as it is."""
    if tensor.ndim == 0:  # damaged, which the comparison with the model tells
        return tensor
    if name.startswith("roi_heads.box_predictor.cls_score."):
        return torch.cat([tensor[1:], tensor[:1]])
    if name.startswith("roi_heads.box_predictor.bbox_pred."):
        return tensor[4:]
    if name.startswith("roi_heads.mask_predictor.mask_fcn_logits."):
        return tensor[1:]
    return tensor
