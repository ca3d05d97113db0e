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
    """Go on from a `state_dict`, also one of another kernel, device or memory order.

    Raises:
        TypeError: it is not the state of such an optimiser.
    """
    kernels = [{key: group[key] for key in ("fused", "foreach")} for group in optimizer.param_groups]
    groups = [{**saved, **own} for saved, own in zip(state["param_groups"], kernels, strict=True)]
    for own, saved in zip(optimizer.param_groups, groups, strict=True):
        wrong = [key for key in own if key != "params" and not _is_alike(saved.get(key), own[key])]
        if wrong:
            raise TypeError(f"the optimiser's {', '.join(wrong)} cannot be that of a run")
    optimizer.load_state_dict({**state, "param_groups": groups})
    _expect_buffers(optimizer)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def _is_alike(saved: Any, own: Any) -> bool:
    """Whether two values are of a kind: numbers, all else by type; in tuples one by one."""
    if isinstance(own, tuple | list):
        is_as_long = isinstance(saved, tuple | list) and len(saved) == len(own)
        return is_as_long and all(_is_alike(*pair) for pair in zip(saved, own, strict=True))
    if isinstance(own, int | float) and not isinstance(own, bool):
        return isinstance(saved, int | float) and not isinstance(saved, bool) and math.isfinite(saved)
    return type(saved) is type(own)


def _expect_buffers(optimizer: Optimizer) -> None:
    """For each parameter tensors of its shape; where one kernel takes all of them, for all or for none."""
    for group in optimizer.param_groups:
        kinds = set()
        for parameter in group["params"]:
            buffers = {name: value for name, value in optimizer.state.get(parameter, {}).items() if value is not None}
            kinds.add(frozenset(buffers))
            for name, value in buffers.items():
                shape = torch.Size() if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != shape or not value.is_floating_point():
                    raise TypeError(f"the optimiser's {name} is not that of a parameter of shape {tuple(shape)}")
        if group["fused"] and len(kinds) > 1:
            raise TypeError("the optimiser's buffers are there for some parameters only")


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
