"""The recommended score threshold of a checkpoint, chosen by how well objects are counted on some images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from maskrcnn.checkpoints.checkpoint import Checkpoint, is_own_checkpoint, save_checkpoint
from maskrcnn.config import ModelSettings


def with_score_threshold(settings: ModelSettings, score_threshold: float) -> ModelSettings:
    """`settings` that recommend another score threshold."""
    detection = settings.detection.model_copy(update={"score_threshold": score_threshold})
    return settings.model_copy(update={"detection": detection})


def write_with_score_threshold(
    target: str | Path,
    source: str | Path,
    checkpoint: Checkpoint,
    settings: ModelSettings,
    score_threshold: float,
    note: Mapping[str, Any],
) -> None:
    """Write the weights of `checkpoint`, read from `source`, with another recommended score threshold.

    `settings` are those that the threshold was chosen with, which belong to it; `note` says in the card how it was
    chosen, and how far counts are off. The numbers are stored as precisely as in `source` if that is a checkpoint of
    ours, else as float32.
    """
    save_checkpoint(
        target,
        checkpoint.tensors,
        with_score_threshold(settings, score_threshold),
        checkpoint.card | dict(note),
        stored_dtype(source),
        checkpoint.untrained,
    )


def stored_dtype(path: str | Path) -> torch.dtype:
    """Type of the floating-point tensors in a checkpoint of ours; float32 for other files and for several types."""
    if not is_own_checkpoint(path):
        return torch.float32
    with safe_open(path, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 (no mapping)
    dtypes = {tensor.dtype for tensor in tensors if tensor.ndim > 1}  # vectors are always whole
    floating = {dtype for dtype in dtypes if dtype.is_floating_point}
    return floating.pop() if len(floating) == 1 else torch.float32
