"""Boxes as deltas (dx, dy, dw, dh) against reference boxes.

Paper: arXiv:1506.01497, section 3.1.2.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from maskrcnn.structures.constants import constant

MAX_LOG_SCALE = math.log(1000 / 16)  # a side grows by at most 62.5: keeps exp finite, the published models' limit

Clamp = Literal["max", "both", "none"]
Weights = tuple[float, float, float, float]


def encode_deltas(boxes: Tensor, references: Tensor, weights: Weights) -> Tensor:
    """Deltas (N, 4) that bring `references` (N, 4) onto `boxes` (N, 4), multiplied by `weights`.

    References must have positive sides.
    """
    sides = references[:, 2:] - references[:, :2]
    centres = references[:, :2] + 0.5 * sides
    target_sides = boxes[:, 2:] - boxes[:, :2]
    target_centres = boxes[:, :2] + 0.5 * target_sides
    deltas = torch.cat([(target_centres - centres) / sides, torch.log(target_sides / sides)], dim=1)
    return deltas * constant(tuple(weights), deltas.device)


def decode_deltas(deltas: Tensor, references: Tensor, weights: Weights, clamp: Clamp = "max") -> Tensor:
    """Boxes (..., 4) float32 from `deltas` (..., 4) and `references` that broadcast against them.

    The inverse of `encode_deltas` unless dw or dh was clamped: above log(1000 / 16) in mode `max`, on both sides in
    mode `both` (mmdetection), never in mode `none` (matterport).
    """
    deltas, references = deltas.float(), references.float()
    sides = references[..., 2:] - references[..., :2]
    centres = references[..., :2] + 0.5 * sides
    shift = deltas[..., :2] / constant(tuple(weights[:2]), deltas.device)
    log_scale = deltas[..., 2:] / constant(tuple(weights[2:]), deltas.device)
    if clamp != "none":
        log_scale = log_scale.clamp(min=-MAX_LOG_SCALE if clamp == "both" else None, max=MAX_LOG_SCALE)
    new_centres = centres + shift * sides
    new_half_sides = 0.5 * torch.exp(log_scale) * sides
    return torch.cat([new_centres - new_half_sides, new_centres + new_half_sides], dim=-1)
