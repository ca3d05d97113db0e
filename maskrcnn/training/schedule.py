"""Optimiser and learning-rate schedule from the settings."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from maskrcnn.config import TrainSettings

WARMUP_START = 1e-3  # part of the learning rate at the first step


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """SGD or AdamW over the trainable parameters; norms and biases are not decayed.

    Each is one kernel for all parameters. It reads memory in order, so a gradient must have its parameter's strides, as
    autograd makes them.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # At a step that the scaler of fp16 skips, fused SGD would leave its first momentum unset.
    is_fused = settings.precision != "fp16"
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.learning_rate, settings.momentum, fused=is_fused)
    return torch.optim.AdamW(groups, settings.learning_rate, fused=is_fused)


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Go on from a `state_dict`, also one of another kernel, device or memory order."""
    kernels = [{key: group[key] for key in ("fused", "foreach")} for group in optimizer.param_groups]
    groups = [{**saved, **own} for saved, own in zip(state["param_groups"], kernels, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def build_schedule(optimizer: Optimizer, settings: TrainSettings) -> LambdaLR:
    """The rate of each step: linear warm-up, then steps or a cosine."""
    return LambdaLR(optimizer, lambda step: learning_rate_factor(step, settings))


def learning_rate_factor(step: int, settings: TrainSettings) -> float:
    """Part of `learning_rate` that step `step` (from 0) uses."""
    warmup = 1.0
    if step < settings.warmup_steps:
        warmup = WARMUP_START + (1 - WARMUP_START) * step / settings.warmup_steps
    progress = min(step / settings.steps, 1.0)
    if settings.schedule == "cosine":
        return warmup * 0.5 * (1 + math.cos(math.pi * progress))
    return warmup * 0.1 ** sum(progress >= milestone for milestone in settings.milestones)


def peak_factor(settings: TrainSettings) -> float:
    """Largest part of `learning_rate` that any step uses: less than 1 where the warm-up takes too much of the run."""
    end = min(settings.warmup_steps, settings.steps - 1)
    return max(learning_rate_factor(step, settings) for step in range(end + 1))
