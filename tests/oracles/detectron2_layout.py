"""Our state under the names of detectron2, and files as detectron2 writes them: the inverse of what is to be tested."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


def to_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layouts and the order of classes are the same; only the names differ."""
    num_rpn_convs = sum(re.fullmatch(r"rpn\.convs\.\d+\.conv\.weight", name) is not None for name in state)
    return {their_name(name, num_rpn_convs): tensor for name, tensor in state.items()}


def their_name(name: str, num_rpn_convs: int) -> str:
    part, *middle, leaf = name.split(".")
    if part == "backbone":
        where = "stem.conv1" if middle[0] == "stem" else f"res{int(middle[1]) + 2}.{middle[2]}.{middle[3]}"
        return f"backbone.bottom_up.{where}.{norm_or_conv(middle)}{leaf}"
    if part == "fpn":
        return f"backbone.fpn_{middle[0]}{int(middle[1]) + 2}.{norm_or_conv(middle)}{leaf}"
    if part == "rpn":
        of_several = f"conv.conv{middle[1]}" if len(middle) > 1 else ""
        conv = of_several if num_rpn_convs > 1 else "conv"
        head = {"convs": conv, "objectness": "objectness_logits", "deltas": "anchor_deltas"}[middle[0]]
        return f"proposal_generator.rpn_head.{head}.{leaf}"
    if part == "box_head":
        if middle[0] in ("class_logits", "deltas"):
            predictor = {"class_logits": "cls_score", "deltas": "bbox_pred"}[middle[0]]
            return f"roi_heads.box_predictor.{predictor}.{leaf}"
        if middle[0] == "fcs":  # Linear, ReLU, Linear, ReLU
            return f"roi_heads.box_head.fc{int(middle[1]) // 2 + 1}.{leaf}"
        return f"roi_heads.box_head.conv{int(middle[1]) + 1}.{norm_or_conv(middle)}{leaf}"
    if part == "semantic_head":
        if middle[0] == "predictor":
            return f"sem_seg_head.predictor.{leaf}"
        # Level p2 is one convolution; in the others every convolution is followed by an upsampling module.
        return f"sem_seg_head.p{int(middle[1]) + 2}.{2 * int(middle[2])}.{norm_or_conv(middle)}{leaf}"
    if middle[0] == "convs":
        return f"roi_heads.mask_head.mask_fcn{int(middle[1]) + 1}.{norm_or_conv(middle)}{leaf}"
    return f"roi_heads.mask_head.{'predictor' if middle[0] == 'logits' else middle[0]}.{leaf}"


def norm_or_conv(middle: list[str]) -> str:
    """A norm is a module of its convolution there, beside the convolution's own weight."""
    return "norm." if middle[-1] == "norm" else ""


def write_pkl(path: Path, weights: Mapping[str, Tensor]) -> None:
    """As in its model zoo."""
    arrays = {name: tensor.detach().numpy() for name, tensor in weights.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))


def write_pth(path: Path, weights: Mapping[str, Tensor]) -> None:
    """As its trainer writes them."""
    torch.save({"model": dict(weights), "optimizer": {"state": {}, "param_groups": []}, "iteration": 99}, path)
