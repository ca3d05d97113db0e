"""torchvision's Mask R-CNN with random weights under which it behaves like a trained one, and what it computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FrozenBatchNorm2d

BRANCH_GAIN = 0.2  # of the last norm of a residual branch; sums of many full branches would drown the early ones
OUTPUTS = {  # mean and standard deviation that each output shall have over a picture
    "rpn.head.cls_logits": (-1.0, 2.0),
    "rpn.head.bbox_pred": (0.0, 0.2),
    "roi_heads.box_predictor.cls_score": (0.0, 1.5),
    "roi_heads.box_predictor.bbox_pred": (0.0, 1.0),
    "roi_heads.mask_predictor.mask_fcn_logits": (0.0, 2.0),
}
PUBLISHED_POST_NMS = 1000
BACKGROUND_LOGIT = 9.0  # added to the background's mean


def build(body: str, num_classes: int = 91, **options: float) -> MaskRCNN:
    """`resnet50` as torchvision's COCO_V1 file needs it, `resnet101` as users build it, or `resnet50_v2`."""
    if body == "resnet50_v2":
        return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=num_classes, **options)
    model = MaskRCNN(resnet_fpn_backbone(backbone_name=body, weights=None), num_classes=num_classes, **options)
    if body == "resnet50":
        overwrite_eps(model, 0.0)
    return model


def condition(model: MaskRCNN, picture: Tensor) -> None:
    """Give every norm the statistics of its input and every output a useful spread, in one pass over `picture`."""
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, Bottleneck):
            module.bn3.weight.data.fill_(BRANCH_GAIN)
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            handles.append(module.register_forward_pre_hook(_take_statistics))
        if name in OUTPUTS:
            handles.append(module.register_forward_hook(partial(_spread, target=OUTPUTS[name])))
    with torch.no_grad():
        model.eval()([picture])
    for handle in handles:
        handle.remove()
    model.roi_heads.box_predictor.cls_score.bias.data[0] += BACKGROUND_LOGIT


def _take_statistics(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance + 1e-3)
    norm.bias.data.uniform_(-0.2, 0.2)


def _spread(layer: nn.Module, inputs: tuple[Tensor], output: Tensor, target: tuple[float, float]) -> Tensor:
    """Rescale `layer` so that each of its channels has the mean and deviation `target`; returns what it gives then."""
    channels = output.transpose(0, 1).flatten(1)
    if not hasattr(layer, "is_spread"):  # the RPN passes five levels; the first and largest counts
        layer.is_spread = True
        gain = target[1] / channels.std(dim=1).clamp(min=1e-6)
        layer.weight.data.mul_(gain.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.data.copy_(target[0] + gain * (layer.bias - channels.mean(dim=1)))
    return layer.forward(inputs[0])


@dataclass(frozen=True)
class Trace:
    """What flows through torchvision's model for a batch."""

    pixels: Tensor
    levels: list[Tensor]
    objectness_logits: list[Tensor]
    deltas: list[Tensor]
    proposals: list[Tensor]
    all_proposals: list[Tensor]
    """As many as the published models keep, however few the heads were given."""
    class_logits: Tensor
    box_deltas: Tensor
    detections: list[dict[str, Tensor]]


def trace(model: MaskRCNN, pictures: Sequence[Tensor]) -> Trace:
    """Detect in `pictures` (3, H, W) 0..1 and keep what the parts give on the way."""
    seen = {}
    parts = {name: model.get_submodule(name) for name in ("transform", "backbone", "rpn.head", "rpn")}
    parts["predictor"] = model.roi_heads.box_predictor
    handles = [
        part.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output}))
        for name, part in parts.items()
    ]
    with torch.no_grad():
        detections = model.eval()(list(pictures))
        for handle in handles:
            handle.remove()
        num_kept = model.rpn._post_nms_top_n["testing"]
        model.rpn._post_nms_top_n["testing"] = PUBLISHED_POST_NMS
        all_proposals, _ = model.rpn(seen["transform"][0], seen["backbone"])
        model.rpn._post_nms_top_n["testing"] = num_kept
    class_logits, box_deltas = seen["predictor"]
    return Trace(
        pixels=seen["transform"][0].tensors,
        levels=list(seen["backbone"].values()),
        objectness_logits=[level.permute(0, 2, 3, 1).flatten(1) for level in seen["rpn.head"][0]],
        deltas=[level.permute(0, 2, 3, 1).reshape(len(level), -1, 4) for level in seen["rpn.head"][1]],
        proposals=seen["rpn"][0],
        all_proposals=all_proposals,
        class_logits=class_logits,
        box_deltas=box_deltas.unflatten(1, (-1, 4)),
        detections=detections,
    )
