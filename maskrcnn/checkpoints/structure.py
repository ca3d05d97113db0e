"""The network that a set of weights belongs to, from the names and shapes of its tensors under our names."""

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from maskrcnn.model.resnet import BLOCKS

PARTS = {
    "backbone": "ResNet body",
    "fpn": "feature pyramid",
    "rpn": "region proposal network",
    "box_head": "box head",
    "mask_head": "mask head",
}
"""Our modules in words."""
_STEM, _INNER = "backbone.stem.conv.weight", "backbone.stages.0.0.conv2.conv.weight"
_LATERAL, _RPN = "fpn.lateral.0.conv.weight", "rpn.convs.0.conv.weight"
_FC, _CLASS_LOGITS = "box_head.fcs.0.weight", "box_head.class_logits.weight"
_MASK_CONV, _MASK_LOGITS = "mask_head.convs.0.conv.weight", "mask_head.logits.weight"
_SEMANTIC_LOGITS = "semantic_head.predictor.weight"
NEEDED = (_STEM, _INNER, _LATERAL, _RPN, _FC, _CLASS_LOGITS, _MASK_CONV, _MASK_LOGITS)
"""Entries that every Mask R-CNN has and whose shapes say what it is like."""


class EntryError(ValueError):
    """An entry with a shape that it has in no such network."""

    def __init__(self, entry: str, problem: str) -> None:
        super().__init__(f"{entry} {problem}")
        self.entry = entry
        """Under our name."""
        self.problem = problem
        """Half a sentence that goes behind its name."""


def missing_parts(tensors: Mapping[str, Tensor]) -> list[str]:
    """Those of `PARTS` of which `tensors` hold nothing."""
    modules = {name.partition(".")[0] for name in tensors if not name.startswith("backbone.") or _is_of_body(name)}
    return [part for part in PARTS if part not in modules]


def num_classes_of(tensors: Mapping[str, Tensor]) -> int | None:
    """K, without the background; None where nothing tells.

    Raises:
        EntryError: the class logits have no such shape.
    """
    if _CLASS_LOGITS not in tensors:
        return None
    num_rows, _ = _sizes(_CLASS_LOGITS, 2, tensors)
    if num_rows < 2:
        raise EntryError(_CLASS_LOGITS, "has 1 row, expected one for every class and one for the background")
    return num_rows - 1


def structure_of(tensors: Mapping[str, Tensor], batch_norm: str = "bn") -> dict[str, Any]:
    """The differences of `ModelSettings` that names and shapes decide, group by group; parts that lack are left out.

    Whether a batch norm is frozen leaves no trace in them, so `batch_norm` ("bn" or "frozen_bn") says it.

    Raises:
        EntryError: a shape that is none of such a network.
        ValueError: the body is no ResNet that can be built.
    """
    groups: dict[str, Any] = {}
    if any(_is_of_body(name) for name in tensors):
        groups["backbone"] = _body(tensors, batch_norm)
    if _LATERAL in tensors:
        channels = _sizes(_LATERAL, 4, tensors)[0]
        groups["fpn"] = {"channels": channels, "norm": _norm_of(r"fpn\..*\.norm", tensors, batch_norm)}
    if _RPN in tensors:
        groups["rpn"] = {"convs": _count(r"rpn\.convs\.", tensors), "channels": _sizes(_RPN, 4, tensors)[0]}
    if _FC in tensors:
        groups["box_head"], resolution = _box_head(tensors, batch_norm)
        if resolution:
            groups["roi"] = {"box_resolution": resolution}
    if _MASK_CONV in tensors:
        groups["mask_head"] = {
            "convs": _count(r"mask_head\.convs\.", tensors),
            "channels": _sizes(_MASK_CONV, 4, tensors)[0],
            "norm": _norm_of(r"mask_head\.convs\..*\.norm", tensors, batch_norm),
            "class_agnostic": _is_agnostic(_MASK_LOGITS, 1, tensors),
        }
    if _SEMANTIC_LOGITS in tensors:
        num_labels, channels = _sizes(_SEMANTIC_LOGITS, 4, tensors)[:2]
        if num_labels < 2:
            raise EntryError(_SEMANTIC_LOGITS, "has 1 row, expected one for all things and one for every kind of stuff")
        groups["semantic_head"] = {
            "class_names": ("things", *(f"stuff {i}" for i in range(1, num_labels))),
            "channels": channels,
            "norm": _norm_of(r"semantic_head\.levels\..*\.norm", tensors, "bn"),
        }
    return groups


def _is_of_body(name: str) -> bool:
    return name.startswith(("backbone.stem.", "backbone.stages."))  # other bodies keep their own names


def _sizes(name: str, num_axes: int, tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Shape of an entry that must have so many axes, none of them empty."""
    shape = tuple(tensors[name].shape)
    if len(shape) != num_axes or 0 in shape:
        raise EntryError(name, f"has the shape {shape}, expected {num_axes} axes, none of them empty")
    return shape


def _box_head(tensors: Mapping[str, Tensor], batch_norm: str) -> tuple[dict[str, Any], int | None]:
    """Its settings, and the side of the regions it reads."""
    fc_channels, flat = _sizes(_FC, 2, tensors)
    modules = {found[0] for name in tensors if (found := re.match(r"box_head\.fcs\.\d+", name))}
    # A norm has statistics.
    linear = [name for name in modules if not {f"{name}.running_mean", f"{name}.running_var"} & tensors.keys()]
    for name in linear:
        if f"{name}.weight" in tensors:
            _sizes(f"{name}.weight", 2, tensors)
    head: dict[str, Any] = {
        "convs": _count(r"box_head\.convs\.", tensors),
        "conv_norm": _norm_of(r"box_head\.convs\..*\.norm", tensors, batch_norm),
        "fcs": len(linear),
        "fc_channels": fc_channels,
        "fc_norm": batch_norm if len(linear) < len(modules) else "none",
        "class_agnostic": _is_agnostic("box_head.deltas.weight", 4, tensors),
    }
    before = "box_head.convs.0.conv.weight" if head["convs"] else _LATERAL
    if before not in tensors:
        return head, None
    channels = _sizes(before, 4, tensors)[0]
    if head["convs"]:
        head["conv_channels"] = channels
    return head, isqrt(flat // channels)


def _is_agnostic(name: str, rows_of_a_class: int, tensors: Mapping[str, Tensor]) -> bool:
    num_classes = num_classes_of(tensors) or 1
    return num_classes > 1 and name in tensors and tensors[name].shape[:1] == (rows_of_a_class,)


def body_name(settings: Mapping[str, Any], neck: str = "fpn") -> str:
    """What the literature calls the body of these settings of the backbone: "R101-FPN", "X101-32x8d-FPN", "R50-C4"."""
    if "name" in settings:
        return f"{settings['name']}-{neck.upper()}"
    groups = settings.get("groups", 1)
    kind = f"X{settings['depth']}-{groups}x{settings['width_per_group']}d" if groups > 1 else f"R{settings['depth']}"
    return f"{kind}-{neck.upper()}"


def _body(tensors: Mapping[str, Tensor], batch_norm: str) -> dict[str, Any]:
    blocks = tuple(_count(rf"backbone\.stages\.{i}\.", tensors) for i in range(4))
    has_bottlenecks = any(re.match(r"backbone\.stages\.\d+\.\d+\.conv3\.", name) for name in tensors)
    depths = [depth for depth, nums in BLOCKS.items() if nums == blocks and (depth >= 50) == has_bottlenecks]
    if not depths:
        known = ", ".join(f"R{depth} {nums}" for depth, nums in BLOCKS.items())
        raise ValueError(f"a body of {blocks} {'bottleneck' if has_bottlenecks else 'basic'} blocks; known: {known}")
    body: dict[str, Any] = {
        "depth": depths[0],
        "conv_bias": any(re.fullmatch(r"backbone\..*\.conv\.bias", name) for name in tensors),
        "norm": _norm_of(r"backbone\..*\.norm", tensors, batch_norm),
    }
    if _STEM in tensors:
        body["stem_channels"] = _sizes(_STEM, 4, tensors)[0]
    if has_bottlenecks and _STEM in tensors and _INNER in tensors:
        inner_channels, per_group = _sizes(_INNER, 4, tensors)[:2]
        groups, width = inner_channels // per_group, per_group * 64 // body["stem_channels"]
        if not groups or not width:
            raise EntryError(_INNER, f"has the shape {tuple(tensors[_INNER].shape)}, which fits no such body")
        body |= {"groups": groups, "width_per_group": width}
    return body


def _norm_of(modules: str, tensors: Mapping[str, Tensor], batch_norm: str) -> str:
    """The norm of the modules whose names match."""
    leaves = {found[1] for name in tensors if (found := re.fullmatch(rf"{modules}\.(\w+)", name))}
    if leaves & {"running_mean", "running_var"}:
        return batch_norm
    return "gn" if "weight" in leaves else "none"


def _count(prefix: str, tensors: Mapping[str, Tensor]) -> int:
    """Number of modules in a row, from 0 on."""
    found = {int(match[1]) for name in tensors if (match := re.match(rf"{prefix}(\d+)\.", name))}
    return next(i for i in range(len(found) + 1) if i not in found)
