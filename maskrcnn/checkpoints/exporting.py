"""Our checkpoints as files of other packages: written only where the other package gives the same numbers with them."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.families import detectron2_export, mmdetection_export, torchvision_export
from maskrcnn.checkpoints.importing import import_checkpoint
from maskrcnn.checkpoints.source import Exported
from maskrcnn.config import ModelSettings
from maskrcnn.config.backbone import ResNetSettings

PACKAGES: Mapping[str, Callable[[Checkpoint, str], Exported]] = {
    "torchvision": torchvision_export.export,
    "detectron2": detectron2_export.export,
    "mmdetection": mmdetection_export.export,
}
"""What makes a file for each, by its name and that of the file without its ending."""
_ONLY_TRAINED = {
    "rpn": {
        *("train_pre_nms_top_n", "train_post_nms_top_n", "foreground_iou", "background_iou", "anchors_per_image"),
        *("positive_fraction", "smooth_l1_beta"),
    },
    "roi": {"foreground_iou", "proposals_per_image", "positive_fraction"},
    "box_head": {"smooth_l1_beta"},
    "backbone": {"frozen_stages"},
    "semantic_head": {"loss_weight", "class_names", "category_ids"},
}
"""Settings that change nothing in what is found, by group."""
_SAID = ("family", "class_names", "category_ids")
"""Settings that only name things."""
MAX_NAMED = 6
"""Differences that a refusal names."""


@dataclass(frozen=True)
class Written:
    """What was written for another package."""

    paths: tuple[Path, ...]
    how: str
    """Lines of Python that load it there."""


def write_for(package: str, path: Path, checkpoint: Checkpoint) -> Written:
    """Write a checkpoint as `package` reads it, and what lies beside it.

    It is read back, as any file of that package is, before it gets its name: the weights must be the same bit for bit,
    and so must every setting on which results depend.

    Raises:
        ValueError: the other package has no such network, or would compute otherwise; says in what.
    """
    settings = checkpoint.settings
    if settings.neck != "fpn" or not isinstance(settings.backbone, ResNetSettings):
        raise ValueError(f"{path}: {package} is written with a ResNet and FPN only, this is {settings.family}")
    if checkpoint.untrained:
        raise ValueError(f"{path}: {len(checkpoint.untrained)} tensors are random; fine-tune before use")
    made = PACKAGES[package](checkpoint, path.stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing") as folder:
        temporary = Path(folder) / path.name
        torch.save(made.content, temporary)
        for name, text in made.beside.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        back = import_checkpoint(temporary, preset=made.preset, class_names=settings.class_names)
        differences = _differences(_values(settings), _values(back.settings))
        differences = [one for one in differences if one[0] not in made.free]
        if differences:
            said = [f"{name} is {ours!r}, there {theirs!r}" for name, ours, theirs in differences[:MAX_NAMED]]
            more = f"; and {len(differences) - MAX_NAMED} more" * (len(differences) > MAX_NAMED)
            raise ValueError(f"{path}: {package} would compute otherwise: {'; '.join(said)}{more}")
        wrong = [
            name
            for name, tensor in checkpoint.tensors.items()
            if not name.endswith("num_batches_tracked")
            and (name not in back.tensors or not torch.equal(back.tensors[name], tensor.float()))
        ]
        if wrong or back.tensors.keys() - checkpoint.tensors.keys():
            raise ValueError(f"{path}: {package} has no place for {(wrong or ['more'])[0]}")
        names = [path.name, *made.beside]
        for name in names:
            (Path(folder) / name).replace(path.with_name(name))
    return Written(tuple(path.with_name(name) for name in names), made.how)


def _values(settings: ModelSettings) -> dict[str, Any]:
    """Settings by group and name, with what stands for another value in its place."""
    values = settings.model_dump()
    values["rpn"]["channels"] = settings.rpn.channels or settings.fpn.channels
    return {group: value for group, value in values.items() if group not in _SAID}


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Settings that differ and matter: dotted name, ours and theirs."""
    found = []
    for group, value in ours.items():
        other = theirs[group]
        if not isinstance(value, dict) or not isinstance(other, dict):
            found += [(group, value, other)] * (value != other)
            continue
        for name in sorted({*value, *other} - _ONLY_TRAINED.get(group, set())):
            if not _is_same(value.get(name), other.get(name)):
                found.append((f"{group}.{name}", value.get(name), other.get(name)))
    return found


def _is_same(one: Any, other: Any) -> bool:
    """Equal but for the rounding of 1 / (1 / x)."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and isinstance(other, int | float):
        return abs(one - other) <= 1e-9 * max(abs(one), abs(other))
    return one == other
