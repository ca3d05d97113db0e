"""Checkpoints of other packages, recognised by their content and made ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from maskrcnn.checkpoints.families import detectron2, matterport, mmdetection, torchvision
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.source import Conventions, Source, damage_in
from maskrcnn.checkpoints.structure import (
    NEEDED,
    PARTS,
    EntryError,
    body_name,
    missing_parts,
    num_classes_of,
    structure_of,
)
from maskrcnn.config import PRESETS, ModelSettings, model_settings, overlay
from maskrcnn.model.build import build_model
from maskrcnn.semantic.torchvision_networks import name_of

FAMILIES: tuple[ModuleType, ...] = (torchvision, detectron2, mmdetection, matterport)
"""Each has `is_family`, `our_name`, `convert`, `conventions`, and `ENTRIES`: its own names of `NEEDED`."""


FINDS_CLASSES = "a semantic network, which gives a class for every pixel; expected one that finds objects"


@dataclass(frozen=True)
class Imported:
    """A checkpoint of another package under our names."""

    settings: ModelSettings
    tensors: dict[str, Tensor]
    """Float32; entries that could not be understood keep their own names."""
    sentence: str
    """What was recognised, from what, and what was assumed."""


def import_checkpoint(
    path: str | Path,
    *,
    preset: str | None = None,
    class_names: tuple[str, ...] | None = None,
    is_partial: bool = False,
) -> Imported:
    """Read a file of torchvision, detectron2, mmdetection or matterport.

    Args:
        preset: key of `PRESETS`, in place of what would be assumed about a file that does not say it.
        class_names: of labels 0..K-1, in place of the file's.
        is_partial: accept a file that lacks parts of the network, such as a backbone alone.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read safely, is of no known family, is not a whole Mask R-CNN, or holds numbers that
            no network has.
    """
    source = read_source(path)
    family = _family_of(source)
    try:
        damage = damage_in(source.tensors)
        if damage:
            raise ValueError(damage)
        tensors = family.convert(source.tensors)
        if not is_partial:
            _check_whole(tensors, family)
        num_classes = num_classes_of(tensors) or len(class_names or ("object",))
        told = family.conventions(source, num_classes, structure_of(tensors), preset)
        batch_norm = overlay(PRESETS[told.preset], told.differences)["backbone"]["norm"]
        structure = structure_of(tensors, batch_norm)
        names, ids, notes = _classes(told, num_classes, class_names)
        differences = overlay(structure, told.differences)
        settings = model_settings(told.preset, str(path), **differences, class_names=names, category_ids=ids)
        fitting = _fitting_counters(tensors, settings)
    except EntryError as error:
        theirs = next((name for name in source.tensors if family.our_name(name) == error.entry), error.entry)
        raise ValueError(f"{path}: {theirs} {error.problem}") from None
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(f"{path}: ") else f"{path}: {error}") from None
    return Imported(settings, fitting, _sentence(told, settings, (*source.choices, *told.assumptions, *notes)))


def _family_of(source: Source) -> ModuleType:
    for family in FAMILIES:
        if family.is_family(source.tensors.keys()):
            return family
    if "backbone.stem.conv.weight" in source.tensors:
        raise ValueError(
            f"{source.path}: the state of a training run of this package; for use take best.safetensors or "
            "last.safetensors beside it"
        )
    if name_of(source.tensors) is not None:
        raise ValueError(f"{source.path}: {FINDS_CLASSES}")
    few = ", ".join(list(source.tensors)[:3])
    raise ValueError(
        f"{source.path}: expected a Mask R-CNN of torchvision, detectron2, mmdetection or matterport, got "
        f"{len(source.tensors)} tensors{f' named {few}, ...' if few else ''}"
    )


def _check_whole(tensors: Mapping[str, Tensor], family: ModuleType) -> None:
    absent = missing_parts(tensors)
    lacking = [entry for entry in NEEDED if entry not in tensors]
    if not lacking:
        return
    examples = {part: next(name for ours, name in family.ENTRIES.items() if ours.startswith(part)) for part in absent}
    named = ", ".join(f"no {PARTS[part]} (such as {examples[part]})" for part in absent)
    if absent == ["mask_head"]:
        what = f"this is a Faster R-CNN: it has {named}"
    elif absent:
        what = f"not a whole Mask R-CNN: it has {named}"
    else:
        what = f"not a whole Mask R-CNN: it lacks {', '.join(family.ENTRIES[entry] for entry in lacking)}"
    raise ValueError(f"{what}; partial loading takes what there is, the rest is random")


def _classes(
    told: Conventions, num_classes: int, given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]]:
    """Names, data set ids, and what was assumed about them."""
    if given is not None:
        if "" in given:
            raise ValueError(f"a class without a name: got {', '.join(map(repr, given))}")
        twice = next((name for name in given if given.count(name) > 1), None)
        if twice:
            raise ValueError(f"two classes of the name {twice!r}: got {', '.join(map(repr, given))}")
        if len(given) != num_classes:
            raise ValueError(f"{num_classes} classes, got {len(given)} names")
        return given, (), ()
    if told.class_names:
        return told.class_names, told.category_ids, ()
    if num_classes == 1:
        return ("object",), (), ("its class is called object",)
    return tuple(f"class {i + 1}" for i in range(num_classes)), (), (f"classes called class 1 to class {num_classes}",)


def _sentence(told: Conventions, settings: ModelSettings, assumptions: tuple[str, ...]) -> str:
    body = body_name(settings.backbone.model_dump(), settings.neck)
    classes = f"{settings.num_classes} class{'es' * (settings.num_classes != 1)}"
    if settings.semantic_head is not None:
        classes += f" and {len(settings.semantic_head.stuff_names)} of stuff"
    known = ", ".join((f"{told.family} {body}", classes, *told.facts))
    return f"{known}; assumed: {', '.join(assumptions)}" if assumptions else known


def _fitting_counters(tensors: Mapping[str, Tensor], settings: ModelSettings) -> dict[str, Tensor]:
    """`tensors` as float32, with the counters of trained batch norms where the model has them and only there."""
    with torch.device("meta"):
        own = build_model(settings).state_dict()
    fitting: dict[str, Any] = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name in own or not name.endswith(".num_batches_tracked")
    }
    for name in own:
        module, _, leaf = name.rpartition(".")
        if leaf == "num_batches_tracked" and f"{module}.running_mean" in tensors:
            fitting.setdefault(name, torch.tensor(0))
    return fitting
