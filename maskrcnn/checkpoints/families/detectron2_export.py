"""Our weights for detectron2: its names, and the YAML that builds the model for them."""

from collections.abc import Mapping
from typing import Any

import yaml

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.families.detectron2 import RENAMED_MODULES
from maskrcnn.checkpoints.families.detectron2_keys import (
    ALIGNED,
    NORM_PLACES,
    OF_SEMANTIC_HEAD,
    ONLY,
    ONLY_PANOPTIC,
    SETTINGS,
    UNLIMITED,
    structure_in_keys,
)
from maskrcnn.checkpoints.source import Exported, names_there
from maskrcnn.checkpoints.structure import structure_of
from maskrcnn.config import ModelSettings

_NORMS = {"none": "", "gn": "GN", "frozen_bn": "FrozenBN", "bn": "BN"}


def export(checkpoint: Checkpoint, stem: str) -> Exported:
    """The model's state under detectron2's names; layouts and the order of the classes are the same."""
    names = names_there(checkpoint.tensors, RENAMED_MODULES)
    state = {names[name]: tensor for name, tensor in checkpoint.tensors.items()}
    config = _config(checkpoint, f"{stem}.pth")
    how = "\n".join(
        (
            "from detectron2.checkpoint import DetectionCheckpointer",
            "from detectron2.config import get_cfg",
            "from detectron2.modeling import build_model",
            "cfg = get_cfg()",
            f'cfg.merge_from_file("{stem}.yaml")',
            "model = build_model(cfg)",
            f'DetectionCheckpointer(model).load("{stem}.pth")',
        )
    )
    beside = {f"{stem}.yaml": yaml.safe_dump(_nested(config), sort_keys=True, default_flow_style=None, width=120)}
    preset = "detectron2_lsj" if checkpoint.settings.fpn.norm in ("bn", "frozen_bn") else "detectron2_msra"
    return Exported({"model": state, "__author__": "maskrcnn"}, beside, how, preset)


def _config(checkpoint: Checkpoint, weights: str) -> dict[str, Any]:
    """By dotted key."""
    settings = checkpoint.settings
    values = settings.model_dump(mode="json")
    body: Any = settings.backbone
    config: dict[str, Any] = {"VERSION": 2, "MODEL.WEIGHTS": weights, **ONLY}
    is_panoptic = settings.semantic_head is not None
    config |= ONLY_PANOPTIC if is_panoptic else {"MODEL.META_ARCHITECTURE": "GeneralizedRCNN"}
    structure = structure_of(checkpoint.tensors, body.norm)
    known = structure_in_keys(structure, settings.num_classes)
    config |= {key: value for key, value in known.items() if value is not None}
    config |= {key: values[group][name] for key, (group, name) in SETTINGS.items()}
    if is_panoptic:
        config |= {key: values["semantic_head"][name] for key, name in OF_SEMANTIC_HEAD.items()}
    for key, (group, name) in NORM_PLACES.items():
        if values.get(group):
            config[key] = _NORMS[values[group][name]]
    aligned = {is_aligned: name for name, is_aligned in ALIGNED.items()}[settings.roi.aligned]
    for head in ("ROI_BOX_HEAD", "ROI_MASK_HEAD"):
        config |= {
            f"MODEL.{head}.POOLER_TYPE": aligned,
            f"MODEL.{head}.POOLER_SAMPLING_RATIO": settings.roi.sampling_ratio,
        }
    config["MODEL.RESNETS.RES2_OUT_CHANNELS"] = body.stem_channels * (4 if body.depth >= 50 else 1)
    config["MODEL.RPN.CONV_DIMS"] = [settings.rpn.channels or settings.fpn.channels] * settings.rpn.convs
    limit = settings.detection.max_detections
    return config | {
        "INPUT.FORMAT": settings.pixels.order.upper(),
        "INPUT.MIN_SIZE_TEST": _shortest(settings),
        "MODEL.ANCHOR_GENERATOR.SIZES": [_as_list(size) for size in values["anchors"]["sizes"]],
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [values["anchors"]["ratios"]],
        "TEST.DETECTIONS_PER_IMAGE": -1 if limit >= UNLIMITED else limit,
    }


def _shortest(settings: ModelSettings) -> int:
    """Of its side of a picture; 0 leaves pictures as they are."""
    resize = settings.resize
    return 0 if resize.mode == "scale" and resize.scale == 1 else resize.shortest_edge


def _as_list(size: Any) -> list[Any]:
    return list(size) if isinstance(size, list | tuple) else [size]


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for place, value in flat.items():
        *groups, name = place.split(".")
        inside = nested
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[name] = value
    return nested
