"""Our weights for torchvision's Mask R-CNN: a state dict, and the lines that build the model for it."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.families.torchvision import our_name
from maskrcnn.checkpoints.source import Exported
from maskrcnn.config import ModelSettings

_BODIES = {
    **{(depth, 1, 64): f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    (50, 32, 4): "resnext50_32x4d",
    (101, 32, 8): "resnext101_32x8d",
    (101, 64, 4): "resnext101_64x4d",
    (50, 1, 128): "wide_resnet50_2",
    (101, 1, 128): "wide_resnet101_2",
}
"""torchvision's name of a body, by depth, groups and width of a group."""
_ARGUMENTS = {
    "resize.shortest_edge": "min_size",
    "resize.longest_edge": "max_size",
    "rpn.pre_nms_top_n": "rpn_pre_nms_top_n_test",
    "rpn.post_nms_top_n": "rpn_post_nms_top_n_test",
    "rpn.nms_threshold": "rpn_nms_thresh",
    "detection.score_threshold": "box_score_thresh",
    "detection.nms_threshold": "box_nms_thresh",
    "detection.max_detections": "box_detections_per_img",
}
"""Settings that torchvision takes as an argument of the model."""
_PIXELS = {"pixels.mean": "image_mean", "pixels.std": "image_std"}
"""The same, of values 0..1."""


def export(checkpoint: Checkpoint, stem: str) -> Exported:
    """The state dict under torchvision's names, the background first.

    Raises:
        ValueError: torchvision has no such network.
    """
    settings = checkpoint.settings
    if settings.semantic_head is not None:
        raise ValueError("torchvision has no Mask R-CNN with a semantic branch")
    is_v2 = settings.fpn.norm != "none"
    body: Any = settings.backbone
    name = _BODIES.get((body.depth, body.groups, body.width_per_group))
    if name is None or body.stem_channels != 64 or (is_v2 and name != "resnet50"):
        raise ValueError(
            f"torchvision has no such body: depth {body.depth}, {body.groups} groups of {body.width_per_group}, "
            f"{body.stem_channels} channels in the stem" + ", with norms in the pyramid" * is_v2
        )
    with torch.device("meta"):
        like = _model(settings, name, is_v2=is_v2).state_dict()
    num_labels = settings.num_classes + 1
    state: dict[str, Tensor] = {}
    for theirs, expected in like.items():
        tensor = checkpoint.tensors.get(our_name(theirs))
        if tensor is None and theirs.endswith("num_batches_tracked"):
            tensor = torch.tensor(0)
        tensor = None if tensor is None else _with_background(theirs, tensor)
        if tensor is None or tensor.shape != expected.shape:
            came = "nothing" if tensor is None else f"the shape {tuple(tensor.shape)}"
            raise ValueError(f"torchvision's {theirs} has the shape {tuple(expected.shape)}, these weights have {came}")
        state[theirs] = tensor.float() if tensor.is_floating_point() else tensor
    preset = "torchvision_v2" if is_v2 else "torchvision_own" if body.norm_eps else "torchvision_v1"
    arguments = _arguments(settings)
    return Exported(
        state,
        how=_how(settings, name, stem, num_labels, arguments, is_v2=is_v2),
        preset=preset,
        free=frozenset({*_ARGUMENTS, *_PIXELS}),
    )


def _model(settings: ModelSettings, name: str, *, is_v2: bool) -> nn.Module:
    num_labels = settings.num_classes + 1
    if is_v2:
        return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=num_labels)
    norm = FrozenBatchNorm2d if getattr(settings.backbone, "norm", "") == "frozen_bn" else nn.BatchNorm2d
    return MaskRCNN(resnet_fpn_backbone(backbone_name=name, weights=None, norm_layer=norm), num_classes=num_labels)


def _with_background(name: str, tensor: Tensor) -> Tensor:
    """The background, our last class, as the first; of its deltas and mask, which nothing reads, there are zeros."""
    if name.startswith("roi_heads.box_predictor.cls_score."):
        return torch.cat([tensor[-1:], tensor[:-1]])
    if name.startswith("roi_heads.box_predictor.bbox_pred."):
        return torch.cat([torch.zeros_like(tensor[:4]), tensor])
    if name.startswith("roi_heads.mask_predictor.mask_fcn_logits."):
        return torch.cat([torch.zeros_like(tensor[:1]), tensor])
    return tensor


def _arguments(settings: ModelSettings) -> dict[str, Any]:
    values = settings.model_dump()
    arguments = {}
    for place, name in (_ARGUMENTS | _PIXELS).items():
        group, key = place.split(".")
        value = values[group][key]
        arguments[name] = [round(one / 255, 9) for one in value] if place in _PIXELS else value
    return arguments


def _how(
    settings: ModelSettings, name: str, stem: str, num_labels: int, arguments: dict[str, Any], *, is_v2: bool
) -> str:
    """Lines that load the file in torchvision."""
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    body: Any = settings.backbone
    lines = ["import torch"]
    if is_v2:
        lines += [
            "from torchvision.models.detection import maskrcnn_resnet50_fpn_v2",
            f"model = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes={num_labels}, {given})",
        ]
    else:
        norm = "FrozenBatchNorm2d" if body.norm == "frozen_bn" else "BatchNorm2d"
        source = "torchvision.ops" if body.norm == "frozen_bn" else "torch.nn"
        lines += [
            f"from {source} import {norm}",
            "from torchvision.models.detection import MaskRCNN",
            "from torchvision.models.detection.backbone_utils import resnet_fpn_backbone",
            f'body = resnet_fpn_backbone(backbone_name="{name}", weights=None, norm_layer={norm})',
            f"model = MaskRCNN(body, num_classes={num_labels}, {given})",
        ]
        if body.norm_eps == 0:
            lines += ["from torchvision.models.detection._utils import overwrite_eps", "overwrite_eps(model, 0.0)"]
    lines.append(f'model.load_state_dict(torch.load("{stem}.pth", weights_only=True))')
    return "\n".join(lines)
