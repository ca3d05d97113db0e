"""Optimiser and learning-rate schedule from the settings."""

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from maskrcnn.config import TrainSettings

WARMUP_START = 1e-3  # part of the learning rate at the first step


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """SGD or AdamW over the trainable parameters; norms and biases are not decayed."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.learning_rate, settings.momentum)
    return torch.optim.AdamW(groups, settings.learning_rate)


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
