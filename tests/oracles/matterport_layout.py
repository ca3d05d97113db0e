"""Our state under matterport's layers, and HDF5 files as Keras writes them: the inverse of what is to be tested."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

NORM_LEAVES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
CONV_LEAVES = {"weight": "kernel", "bias": "bias"}
RPN = ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred")
WITHOUT_WEIGHTS = ("input_image", "zero_padding2d_1", "activation_1", "fpn_p5upsampled", "ROI", "mrcnn_detection")


def to_matterport(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`layer/weight`. What ours has no place for is drawn at random: background rows, both RPN logits, mask biases."""
    layers: dict[str, Tensor] = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        layer = layer_name(module)
        if module.endswith(".norm") or module in ("box_head.fcs.1", "box_head.fcs.4"):
            layers[f"{layer}/{NORM_LEAVES[leaf]}"] = tensor
        else:
            rows = their_rows(layer, tensor)
            layers[f"{layer}/{CONV_LEAVES[leaf]}"] = their_kernel(layer, rows) if leaf == "weight" else rows
    for i in (1, 2, 3, 4):  # a bias that the norm takes away again
        mean = layers[f"mrcnn_mask_bn{i}/moving_mean"]
        bias = torch.randn_like(mean)
        layers[f"mrcnn_mask_conv{i}/bias"] = bias
        layers[f"mrcnn_mask_bn{i}/moving_mean"] = mean + bias
    return layers


def layer_name(module: str) -> str:
    part, *middle = module.split(".")
    is_norm = middle[-1] == "norm"
    if part == "backbone" and middle[0] == "stem":
        return "bn_conv1" if is_norm else "conv1"
    if part == "backbone":
        _, stage, block, which, _ = middle
        branch = "1" if which == "shortcut" else "2" + {"conv1": "a", "conv2": "b", "conv3": "c"}[which]
        return f"{'bn' if is_norm else 'res'}{int(stage) + 2}{'abcdefghijklmnopqrstuvwxyz'[int(block)]}_branch{branch}"
    if part == "fpn":
        level = int(middle[1]) + 2
        return f"fpn_c{level}p{level}" if middle[0] == "lateral" else f"fpn_p{level}"
    if part == "mask_head" and middle[0] == "convs":
        return f"mrcnn_mask_{'bn' if is_norm else 'conv'}{int(middle[1]) + 1}"
    return {
        "rpn.convs.0.conv": "rpn_conv_shared",
        "rpn.objectness": "rpn_class_raw",
        "rpn.deltas": "rpn_bbox_pred",
        "box_head.fcs.0": "mrcnn_class_conv1",
        "box_head.fcs.1": "mrcnn_class_bn1",
        "box_head.fcs.3": "mrcnn_class_conv2",
        "box_head.fcs.4": "mrcnn_class_bn2",
        "box_head.class_logits": "mrcnn_class_logits",
        "box_head.deltas": "mrcnn_bbox_fc",
        "mask_head.deconv": "mrcnn_mask_deconv",
        "mask_head.logits": "mrcnn_mask",
    }[module]


def their_rows(layer: str, tensor: Tensor) -> Tensor:
    """Rows (the outputs) in their number and order."""
    if layer == "rpn_class_raw":  # background and object of each anchor; only their difference counts
        background = torch.randn_like(tensor)
        return torch.stack([background, background + tensor], dim=1).flatten(0, 1)
    if layer in ("rpn_bbox_pred", "mrcnn_bbox_fc"):
        dx, dy, dw, dh = (tensor[i::4] for i in range(4))
        tensor = torch.stack([dy, dx, dh, dw], dim=1).flatten(0, 1)
    if layer == "mrcnn_class_logits":
        return torch.cat([tensor[-1:], tensor[:-1]])
    background_rows = {"mrcnn_bbox_fc": 4, "mrcnn_mask": 1}.get(layer, 0)
    return torch.cat([torch.randn_like(tensor[:background_rows]), tensor])


def their_kernel(layer: str, tensor: Tensor) -> Tensor:
    if layer in ("mrcnn_class_logits", "mrcnn_bbox_fc"):
        return tensor.t()
    if layer == "mrcnn_class_conv1":
        side = 7
        tensor = tensor.reshape(len(tensor), -1, side, side)
    if layer == "mrcnn_class_conv2":
        tensor = tensor[:, :, None, None]
    # Of a convolution (out, in, h, w), of a deconvolution (in, out, h, w): Keras has both the other way round.
    return tensor.permute(2, 3, 1, 0)


def write_h5(
    path: Path,
    layers: Mapping[str, Tensor],
    *,
    keras: Literal["2.0.8", "2.15.0"] = "2.0.8",
    is_full_model: bool = False,
) -> None:
    """As `save_weights` writes it, or `save`, which puts the weights under `model_weights` beside the optimiser's."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = keras, "tensorflow"
        weights = file
        if is_full_model:
            file.attrs["model_config"] = json.dumps({"class_name": "Model"})
            optimizer = file.create_group("optimizer_weights/training/SGD")
            optimizer.create_dataset("iterations:0", data=np.int64(7))
            optimizer.create_dataset("conv1/kernel/momentum:0", data=np.zeros(3, np.float32))
            weights = file.create_group("model_weights")
        groups: dict[str, dict[str, Tensor]] = {layer: {} for layer in WITHOUT_WEIGHTS}
        for name, tensor in layers.items():
            layer = name.split("/")[0]
            groups.setdefault("rpn_model" if layer in RPN else layer, {})[f"{name}:0"] = tensor
        weights.attrs["layer_names"] = names_for(keras, list(groups))
        for layer, tensors in groups.items():
            group = weights.create_group(layer)
            group.attrs["weight_names"] = names_for(keras, list(tensors))
            for name, tensor in tensors.items():
                group.create_dataset(name, data=tensor.detach().numpy())
        if keras == "2.15.0":
            weights.create_group("top_level_model_weights").attrs["weight_names"] = names_for(keras, [])


def names_for(keras: str, names: list[str]) -> Any:
    """Byte strings; since Keras 2.15 with h5py 3 text; of none an empty array of float64."""
    if not names:
        return np.zeros(0)
    return np.array([name.encode() for name in names]) if keras == "2.0.8" else names
