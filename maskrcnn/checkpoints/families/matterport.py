"""matterport's Mask R-CNN on ResNet-50 or ResNet-101: its Keras weights under our names, and how they must be used.

Letters: K classes without the background. Source: the public facts about its Keras graph.
"""

import re
from collections.abc import Collection, Mapping
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES
from maskrcnn.checkpoints.source import Conventions, Source
from maskrcnn.config import PRESETS, model_settings
from maskrcnn.model.fpn import STRIDES
from maskrcnn.model.rpn import Anchors

_LAYERS = {
    "conv1": "backbone.stem.conv",
    "bn_conv1": "backbone.stem.norm",
    **{f"fpn_c{i + 2}p{i + 2}": f"fpn.lateral.{i}.conv" for i in range(4)},
    **{f"fpn_p{i + 2}": f"fpn.output.{i}.conv" for i in range(4)},
    "rpn_conv_shared": "rpn.convs.0.conv",
    "rpn_class_raw": "rpn.objectness",
    "rpn_bbox_pred": "rpn.deltas",
    "mrcnn_class_conv1": "box_head.fcs.0",
    "mrcnn_class_bn1": "box_head.fcs.1",
    "mrcnn_class_conv2": "box_head.fcs.3",
    "mrcnn_class_bn2": "box_head.fcs.4",
    "mrcnn_class_logits": "box_head.class_logits",
    "mrcnn_bbox_fc": "box_head.deltas",
    **{f"mrcnn_mask_conv{i + 1}": f"mask_head.convs.{i}.conv" for i in range(4)},
    **{f"mrcnn_mask_bn{i + 1}": f"mask_head.convs.{i}.norm" for i in range(4)},
    "mrcnn_mask_deconv": "mask_head.deconv",
    "mrcnn_mask": "mask_head.logits",
}
"""Their layer and our module; the layers of the stages follow the pattern below."""
ENTRIES = {
    "backbone.stem.conv.weight": "conv1/kernel",
    "backbone.stages.0.0.conv2.conv.weight": "res2a_branch2b/kernel",
    "fpn.lateral.0.conv.weight": "fpn_c2p2/kernel",
    "rpn.convs.0.conv.weight": "rpn_conv_shared/kernel",
    "box_head.fcs.0.weight": "mrcnn_class_conv1/kernel",
    "box_head.class_logits.weight": "mrcnn_class_logits/kernel",
    "mask_head.convs.0.conv.weight": "mrcnn_mask_conv1/kernel",
    "mask_head.logits.weight": "mrcnn_mask/kernel",
}
"""What the network is known by: our name and theirs."""
_STAGE_LAYER = re.compile(r"(res|bn)([2-5])([a-z])_branch(2a|2b|2c|1)")
_BRANCHES = {"2a": "conv1", "2b": "conv2", "2c": "conv3", "1": "shortcut"}
_LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_ANCHORS = "anchors/"
"""What its ports to TensorFlow 2 save beside the weights when they train: all anchors, 0..1, in `Variable` or so."""


def is_family(names: Collection[str]) -> bool:
    """Whether tensors of these names (`layer/weight`) are a Mask R-CNN of matterport."""
    return "rpn_class_raw/kernel" in names or "mrcnn_class_logits/kernel" in names


def our_name(name: str) -> str:
    """Of an entry of theirs; one that is not known keeps its name."""
    layer, _, leaf = name.rpartition("/")
    module = _our_module(layer)
    return name if module is None or leaf not in _LEAVES else f"{module}.{_LEAVES[leaf]}"


def convert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of our model from those of its Keras layers; one that is not known keeps its name.

    The background, their class 0, becomes the last logit, and its deltas and mask, which nothing reads, go. The RPN's
    two logits become their difference, whose sigmoid is the softmax of the two. A bias before a norm of the mask head
    goes into that norm's mean.

    Raises:
        ValueError: a tensor has not the shape of its layer.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition("/")
        if name.startswith(_ANCHORS):
            continue
        ours = our_name(name)
        if ours == name:
            converted[name] = tensor
            continue
        try:
            rows = _rows(layer, _out_first(layer, tensor) if leaf == "kernel" else tensor)
        except (RuntimeError, IndexError):  # of torch, about a shape
            raise ValueError(
                f"{name}: a shape of {tuple(tensor.shape)}, which matterport's layer cannot have"
            ) from None
        converted[ours] = rows.contiguous()
    for i in range(4):
        mean, bias = f"mask_head.convs.{i}.norm.running_mean", f"mask_head.convs.{i}.conv.bias"
        if mean in converted and bias not in converted:
            del converted[mean]  # known in part only, so it lacks
        elif mean in converted and converted[mean].shape == converted[bias].shape:
            converted[mean] = converted[mean] - converted.pop(bias)
    return converted


def conventions(source: Source, num_classes: int, structure: dict[str, Any], preset: str | None = None) -> Conventions:
    """What makes these weights give the numbers of `model.detect`.

    Raises:
        ValueError: `preset` is not matterport's, or the anchors are such that they can't be told or built.
    """
    if preset not in (None, "matterport"):
        raise ValueError(f"{source.path}: weights of matterport, so the preset is matterport")
    facts, assumptions = ["RGB", "stride in 1x1"], []
    differences = _anchors_in(source)
    settings = model_settings("matterport", **differences)
    sizes = settings.anchors.sizes
    frame = f"a square of {settings.resize.longest_edge} px, anchors of {sizes[0]:g} to {sizes[-1]:g} px"
    if differences:
        facts.append(f"{frame}: from the anchors in the file")
    else:
        assumptions.append(frame)
    assumptions.append("its default mean pixel, score 0.7 and NMS 0.3")
    is_coco = num_classes == len(CLASS_NAMES)
    if is_coco:
        assumptions.append("the class names of COCO")
    return Conventions(
        "matterport",
        "matterport",
        differences,
        class_names=CLASS_NAMES if is_coco else (),
        category_ids=CATEGORY_IDS if is_coco else (),
        facts=tuple(facts),
        assumptions=tuple(assumptions),
    )


def _our_module(layer: str) -> str | None:
    found = _STAGE_LAYER.fullmatch(layer)
    if not found:
        return _LAYERS.get(layer)
    kind, stage, letter, branch = found.groups()
    block = ord(letter) - ord("a")
    return f"backbone.stages.{int(stage) - 2}.{block}.{_BRANCHES[branch]}.{'conv' if kind == 'res' else 'norm'}"


def _out_first(layer: str, kernel: Tensor) -> Tensor:
    """(h, w, in, out) as (out, in, h, w), of a deconvolution (h, w, out, in) as (in, out, h, w); (in, out) turned.

    The convolutions that read a whole region become linear layers, over channels, rows and columns.
    """
    kernel = kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.t()
    return kernel.flatten(1) if layer.startswith("mrcnn_class_conv") else kernel


def _rows(layer: str, tensor: Tensor) -> Tensor:
    """Weight or bias with our rows: what comes out of the layer, in our order."""
    if layer == "rpn_class_raw":  # background and object of every anchor
        background, is_object = tensor.unflatten(0, (-1, 2)).unbind(1)
        return is_object - background
    if layer in ("rpn_bbox_pred", "mrcnn_bbox_fc"):
        tensor = tensor.unflatten(0, (-1, 4))[:, [1, 0, 3, 2]].flatten(0, 1)  # dy dx dh dw
    if layer == "mrcnn_class_logits":
        return torch.cat([tensor[1:], tensor[:1]])
    background_rows = {"mrcnn_bbox_fc": 4, "mrcnn_mask": 1}.get(layer, 0)
    return tensor[background_rows:]


def _anchors_in(source: Source) -> dict[str, Any]:
    """Settings that the anchors (..., A, 4) in the file show: y1 x1 y2 x2, 0..1 from the first to the last pixel."""
    bias = source.tensors.get("rpn_class_raw/bias")
    num_ratios = len(PRESETS["matterport"]["anchors"]["ratios"]) if bias is None else len(bias) // 2
    if not num_ratios:
        raise ValueError(f"{source.path}: rpn_class_raw/bias is empty, expected two numbers for each anchor at a place")
    anchors = next((tensor for name, tensor in source.tensors.items() if name.startswith(_ANCHORS)), None)
    if anchors is None:
        if num_ratios != len(PRESETS["matterport"]["anchors"]["ratios"]):
            raise ValueError(f"{source.path}: {num_ratios} anchors at a place, whose ratios the file does not say")
        return {}
    num_anchors = anchors.shape[-2] if anchors.ndim > 1 else 0
    side = round(sqrt(num_anchors / num_ratios / sum(stride**-2 for stride in STRIDES)))
    grids = [(side // stride, side // stride) for stride in STRIDES]
    counts = [num_ratios * rows * columns for rows, columns in grids]
    if 0 < num_anchors == sum(counts) and anchors.shape[-1] == 4 and anchors.numel():
        boxes = anchors.reshape(-1, num_anchors, 4)[0].double()  # the same for every image of its batch
        sides = [(level[:num_ratios, 2:] - level[:num_ratios, :2]) * (side - 1) + 1 for level in boxes.split(counts)]
        sizes = tuple(round(float(level[0].prod().sqrt()), 3) for level in sides)
        ratios = tuple(round(float(height / width), 6) for height, width in sides[-1])  # the largest are most precise
        expected = torch.cat(Anchors(sizes, ratios)((side, side), grids, boxes.device))[:, [1, 0, 3, 2]]
        if torch.allclose((expected - torch.tensor([0, 0, 1, 1])) / (side - 1), boxes.float(), atol=1e-4):
            return {
                "resize": {"longest_edge": side},
                "pad": {"divisor": side},
                "anchors": {"sizes": sizes, "ratios": ratios},
            }
    raise ValueError(
        f"{source.path}: anchors {tuple(anchors.shape)} that can't be built here; expected one size on each of five "
        "levels, at every place of a square"
    )
