"""detectron2's Mask R-CNN and Panoptic FPN on a ResNet or ResNeXt: tensors under our names, and how they must be used.

Letters: K classes without the background. Source: detectron2's public configurations, model zoo and documentation.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from torch import Tensor

from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES, STUFF_IDS, STUFF_NAMES
from maskrcnn.checkpoints.families.detectron2_config import config_beside
from maskrcnn.checkpoints.families.detectron2_keys import settings_in
from maskrcnn.checkpoints.families.in_file import expect_anchors, pixels_in
from maskrcnn.checkpoints.source import USUAL, Conventions, Source, in_words, renamed
from maskrcnn.config import PRESETS, overlay

_MOST = 16  # layers of a head
_CONVS = (
    (r"backbone\.bottom_up\.stem\.conv1", "backbone.stem"),
    *((rf"backbone\.bottom_up\.res{i + 2}\.(\d+)\.(conv\d|shortcut)", rf"backbone.stages.{i}.\1.\2") for i in range(4)),
    *((rf"backbone\.fpn_(lateral|output){i + 2}", rf"fpn.\1.{i}") for i in range(4)),
    (r"proposal_generator\.rpn_head\.conv", "rpn.convs.0"),
    (r"proposal_generator\.rpn_head\.conv\.conv(\d)", r"rpn.convs.\1"),  # where there are several, from 0 on
    *((rf"roi_heads\.box_head\.conv{i + 1}", f"box_head.convs.{i}") for i in range(_MOST)),
    *((rf"roi_heads\.mask_head\.mask_fcn{i + 1}", f"mask_head.convs.{i}") for i in range(_MOST)),
    (r"sem_seg_head\.p2\.0", "semantic_head.levels.0.0"),
    # In the coarser levels, upsampling lies between the convolutions.
    *((rf"sem_seg_head\.p{i + 2}\.{2 * k}", f"semantic_head.levels.{i}.{k}") for i in range(1, 4) for k in range(i)),
)
"""Convolutions with what may be their norm: their module and ours."""
RENAMED_MODULES = (
    *((theirs, f"{ours}.conv") for theirs, ours in _CONVS),
    *((rf"{theirs}\.norm", f"{ours}.norm") for theirs, ours in _CONVS),
    (r"proposal_generator\.rpn_head\.objectness_logits", "rpn.objectness"),
    (r"proposal_generator\.rpn_head\.anchor_deltas", "rpn.deltas"),
    *((rf"roi_heads\.box_head\.fc{i + 1}", f"box_head.fcs.{2 * i}") for i in range(_MOST)),  # ReLUs lie between
    (r"roi_heads\.box_predictor\.cls_score", "box_head.class_logits"),
    (r"roi_heads\.box_predictor\.bbox_pred", "box_head.deltas"),
    (r"roi_heads\.mask_head\.deconv", "mask_head.deconv"),
    (r"roi_heads\.mask_head\.predictor", "mask_head.logits"),
    (r"sem_seg_head\.predictor", "semantic_head.predictor"),
)
"""Their module, a pattern that must match as a whole, and ours."""
ENTRIES = {
    "backbone.stem.conv.weight": "backbone.bottom_up.stem.conv1.weight",
    "backbone.stages.0.0.conv2.conv.weight": "backbone.bottom_up.res2.0.conv2.weight",
    "fpn.lateral.0.conv.weight": "backbone.fpn_lateral2.weight",
    "rpn.convs.0.conv.weight": "proposal_generator.rpn_head.conv.weight",
    "box_head.fcs.0.weight": "roi_heads.box_head.fc1.weight",
    "box_head.class_logits.weight": "roi_heads.box_predictor.cls_score.weight",
    "mask_head.convs.0.conv.weight": "roi_heads.mask_head.mask_fcn1.weight",
    "mask_head.logits.weight": "roi_heads.mask_head.predictor.weight",
}
"""What the network is known by: our name and theirs."""
_ANCHORS = "proposal_generator.anchor_generator.cell_anchors."
_IGNORED = re.compile(rf"pixel_(mean|std)|{re.escape(_ANCHORS)}\d+")
"""Entries of older files that are no weights: `conventions` reads them."""
_OTHER_NETWORKS = (
    (r"backbone\.(stem|res\d)\..*", "a body without a feature pyramid (C4 or DC5)"),
    (r"backbone\.bottom_up\.s\d\..*", "a RegNet body"),
    (r".*\.conv2_offset\..*", "deformable convolutions"),
    (r"roi_heads\.box_(head|predictor)\.\d\..*", "a cascade of box heads"),
    (r"roi_heads\.keypoint_head\..*", "a keypoint head"),
    (r"roi_heads\.mask_(coarse_head|point_head)\..*|roi_heads\.mask_head\.(coarse|point)_head\..*", "PointRend"),
    (r"sem_seg_head\.(?!p[2-5]\.|predictor\.).*", "a semantic head other than that of Panoptic FPN"),
)
"""What else detectron2 publishes, by an entry that only it has."""
_STD_BGR, _NO_STD = (57.375, 57.12, 58.395), (1.0, 1.0, 1.0)
_BATCH_NORMS = ("bn", "frozen_bn")
_LVIS = (1203, 1230)  # classes of its versions 1 and 0.5


@dataclass(frozen=True)
class _Layer:
    """Settings with where they are from."""

    settings: dict[str, Any]
    origin: str
    """As it ends a sentence."""
    is_sure: bool


def is_family(names: Collection[str]) -> bool:
    """Whether tensors of these names are an R-CNN of detectron2."""
    return any(name.startswith("roi_heads.") for name in names) and any(
        name.startswith(("backbone.bottom_up.", "proposal_generator.")) for name in names
    )


def our_name(name: str) -> str:
    """Of an entry of theirs; one that is not known keeps its name."""
    return renamed(name, RENAMED_MODULES)


def convert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of our model. Layouts and the order of the classes, the background last, are ours already.

    An entry that is not known keeps its name.

    Raises:
        ValueError: it is another network than Mask R-CNN with FPN; says which.
    """
    for pattern, what in _OTHER_NETWORKS:
        entry = next((name for name in tensors if re.fullmatch(pattern, name)), None)
        if entry:
            raise ValueError(f"expected detectron2's Mask R-CNN with a ResNet and FPN, got one with {what}: {entry}")
    return {our_name(name): tensor for name, tensor in tensors.items() if not _IGNORED.fullmatch(name)}


def conventions(source: Source, num_classes: int, structure: dict[str, Any], preset: str | None = None) -> Conventions:
    """What makes these weights give detectron2's numbers.

    Believed most is the YAML beside the file, then the pixel statistics and anchors that older files hold, then what
    is known of detectron2's published models of such a network, then `preset`.

    Raises:
        ValueError: `preset` is not detectron2's; the YAML is damaged, contradicts the weights or asks for what cannot
            be built; the anchors cannot be told.
    """
    if preset not in (None, "detectron2_msra", "detectron2_lsj"):
        raise ValueError(f"{source.path}: weights of detectron2, so the preset is detectron2_msra or detectron2_lsj")
    config, notes = config_beside(source.path)
    has_batch_norms = structure.get("fpn", {}).get("norm") in _BATCH_NORMS
    chosen = preset or ("detectron2_lsj" if has_batch_norms else "detectron2_msra")
    in_file = overlay(pixels_in(source, "pixel_mean", "pixel_std"), _anchors_in(source))
    is_told = config is not None and config.missing_base is None
    published, model = ({}, "") if is_told else _published(structure, in_file, preset)
    said = settings_in(config, structure, num_classes, chosen) if config else {}
    layers = (  # each is believed more than those before it
        _Layer(PRESETS[chosen], f" (preset {chosen})", preset is not None),
        _Layer(published, f" (as in {model})", False),
        _Layer(in_file, ": from the pixel statistics in the file", True),
        _Layer(said, f": from the config {config.path.name} beside it" if config else "", True),
    )
    facts, assumptions = _input_in_words(layers, structure, has_config=config is not None, is_lvis=num_classes in _LVIS)
    differences = reduce(overlay, (layer.settings for layer in layers[1:]), _norms(source, structure, chosen))
    if num_classes in _LVIS and not config:
        differences = overlay(differences, {"detection": {"score_threshold": 0.0001, "max_detections": 300}})
        assumptions.append("score threshold 0.0001 and 300 detections (as in the published LVIS models)")
    expect_anchors(
        source,
        "proposal_generator.rpn_head.objectness_logits.weight",
        differences,
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
        "the YAML of its training, put beside it under the same name, must say them",
    )
    is_coco = num_classes == len(CLASS_NAMES) and (not config or config.is_coco is not False)
    if is_coco:
        (facts if config and config.is_coco else assumptions).append("the class names of COCO")
    num_stuff = len(structure.get("semantic_head", {}).get("class_names", ())) - 1
    if num_stuff == len(STUFF_NAMES) and is_coco:
        stuff = {"class_names": ("things", *STUFF_NAMES), "category_ids": STUFF_IDS}
        differences = overlay(differences, {"semantic_head": stuff})
    elif num_stuff > 0:
        assumptions.append(f"kinds of stuff called stuff 1 to stuff {num_stuff}")
    return Conventions(
        "detectron2",
        chosen,
        differences,
        class_names=CLASS_NAMES if is_coco else (),
        category_ids=CATEGORY_IDS if is_coco else (),
        facts=tuple(facts),
        assumptions=(*assumptions, *notes),
    )


def _anchors_in(source: Source) -> dict[str, Any]:
    """Sizes and ratios of the anchors that older files hold, one tensor (A, 4) for each level."""
    names = [f"{_ANCHORS}{i}" for i in range(5)]
    if not source.tensors.keys() >= set(names):
        return {}
    cells = [source.tensors[name].double() for name in names]
    for name, cell in zip(names, cells, strict=True):
        if cell.ndim != 2 or not len(cell) or cell.shape[1] != 4 or not (cell[:, 2:] > cell[:, :2]).all():
            raise ValueError(f"{name}: expected a box in each of its rows, got the shape {tuple(cell.shape)}")
    sides = [cell[:, 2:] - cell[:, :2] for cell in cells]
    sizes = [{round(size, 3) for size in side.prod(dim=1).sqrt().tolist()} for side in sides]
    ratios = {tuple(round(ratio, 4) for ratio in (side[:, 1] / side[:, 0]).tolist()) for side in sides}
    if len(ratios) > 1 or any(len(level) > 1 for level in sizes):
        raise ValueError(
            f"{source.path}: {_ANCHORS}* has several sizes on a level or other ratios on another level, which cannot "
            "be built here"
        )
    return {"anchors": {"sizes": tuple(level.pop() for level in sizes), "ratios": ratios.pop()}}


def _published(structure: dict[str, Any], in_file: dict[str, Any], preset: str | None) -> tuple[dict[str, Any], str]:
    """How detectron2's published models of such a network differ from the presets, and what to call them."""
    body, fpn = structure.get("backbone", {}), structure.get("fpn", {})
    stride_in_3x3 = {"backbone": {"stride_in_1x1": False}}
    if body.get("depth", 50) < 50:
        return stride_in_3x3, "blocks that have no 1x1"
    if body.get("groups", 1) > 1:
        return {"pixels": {"std": _STD_BGR}, **stride_in_3x3}, "the published X101"
    if body.get("norm") == "gn":
        return stride_in_3x3, "the published GN models"
    if in_file.get("pixels", {}).get("std", _NO_STD) != _NO_STD:
        return stride_in_3x3, "bodies whose input is divided by a std"
    if preset is None and fpn.get("norm") in _BATCH_NORMS and structure.get("rpn", {}).get("convs") == 1:
        return stride_in_3x3, "the published 3x SyncBN model"
    return {}, ""


def _norms(source: Source, structure: dict[str, Any], preset: str) -> dict[str, Any]:
    """Which batch norms are trained: those of the heads, and a body's that counts its batches."""
    has_counters = any(
        name.startswith("backbone.bottom_up.") and name.endswith(".num_batches_tracked") for name in source.tensors
    )
    body = "bn" if has_counters else PRESETS[preset]["backbone"]["norm"]
    places = (
        ("backbone", "norm", body),
        ("fpn", "norm", "bn"),
        ("box_head", "conv_norm", "bn"),
        ("mask_head", "norm", "bn"),
    )
    return {group: {key: norm} for group, key, norm in places if structure.get(group, {}).get(key) in _BATCH_NORMS}


def _input_in_words(
    layers: Sequence[_Layer], structure: dict[str, Any], *, has_config: bool, is_lvis: bool
) -> tuple[list[str], list[str]]:
    """Facts and assumptions about the pixels, the stride and what a config would say, those from one place together."""

    def last(group: str, key: str) -> tuple[Any, _Layer]:
        layer = next(layer for layer in reversed(layers) if key in layer.settings.get(group, {}))
        return layer.settings[group][key], layer

    _, _, in_file, _ = layers
    order, of_order = last("pixels", "order")
    std, of_std = last("pixels", "std")
    stride_in_1x1, of_stride = last("backbone", "stride_in_1x1")
    statements = [(order.upper(), of_order)]
    if tuple(std) != _NO_STD:
        statements.append(("divided by a std", of_std))
    if structure.get("backbone", {}).get("depth", 50) >= 50:
        statements.append((f"stride in {'1x1' if stride_in_1x1 else '3x3'}", of_stride))
    if not has_config:
        known = {"anchors"} & in_file.settings.keys() | ({"thresholds"} if is_lvis else set())
        statements.append((in_words([name for name in USUAL if name not in known]), layers[0]))
    words: dict[tuple[bool, str], list[str]] = {}
    for word, layer in statements:
        words.setdefault((layer.is_sure, layer.origin), []).append(word)
    sentences = {key: f"{', '.join(part)}{key[1]}" for key, part in words.items()}
    facts, assumptions = ([text for key, text in sentences.items() if key[0] is is_sure] for is_sure in (True, False))
    return facts, assumptions
