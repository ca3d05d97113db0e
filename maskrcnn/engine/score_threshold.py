"""The recommended score threshold of a checkpoint, chosen by how well objects are counted on some images."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from maskrcnn.config import ModelSettings
from maskrcnn.engine.checkpoint import Checkpoint, is_own_checkpoint, save_checkpoint
from maskrcnn.engine.evaluator import best_threshold
from maskrcnn.report.evaluation import Evaluation


def with_score_threshold(settings: ModelSettings, score_threshold: float) -> ModelSettings:
    """`settings` that recommend another score threshold."""
    detection = settings.detection.model_copy(update={"score_threshold": score_threshold})
    return settings.model_copy(update={"detection": detection})


def threshold_note(evaluation: Evaluation, chosen_on: str, was: float) -> dict[str, Any]:
    """What a card says of a threshold that `best_threshold` chose: on which data, and the count error there."""
    best = evaluation.overall.sweep.best_count
    return {
        "value": best.score_threshold,
        "was": was,
        "chosen_on": chosen_on,
        "num_images": evaluation.overall.num_images,
        "count_mae": best.mae,
    }


def write_with_best_threshold(
    target: str | Path,
    source: str | Path,
    checkpoint: Checkpoint,
    settings: ModelSettings,
    evaluation: Evaluation,
    chosen_on: str,
) -> float:
    """Write the weights of `checkpoint`, read from `source`, with the threshold that counts best; gives the threshold.

    `settings` are those that `evaluation` was made with, which belong to its threshold. The numbers are stored as
    precisely as in `source` if that is a checkpoint of ours, else as float32.
    """
    threshold = best_threshold(evaluation)
    note = threshold_note(evaluation, chosen_on, checkpoint.settings.detection.score_threshold)
    save_checkpoint(
        target,
        checkpoint.tensors,
        with_score_threshold(settings, threshold),
        checkpoint.card | {"score_threshold": note},
        stored_dtype(source),
        checkpoint.untrained,
    )
    return threshold


def stored_dtype(path: str | Path) -> torch.dtype:
    """Type of the floating-point tensors in a checkpoint of ours; float32 for other files and for several types."""
    if not is_own_checkpoint(path):
        return torch.float32
    with safe_open(path, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118 (no mapping)
    dtypes = {tensor.dtype for tensor in tensors if tensor.ndim > 1}  # vectors are always whole
    floating = {dtype for dtype in dtypes if dtype.is_floating_point}
    return floating.pop() if len(floating) == 1 else torch.float32
