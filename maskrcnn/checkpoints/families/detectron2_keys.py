"""What the keys of a detectron2 config mean as settings of ours, and which of them cannot be met."""

from typing import Any

from maskrcnn.checkpoints.families.detectron2_config import Detectron2Config, way_out
from maskrcnn.config import model_settings, overlay
from maskrcnn.untrusted.excerpt import excerpt

UNLIMITED = 10**6  # px or detections; more than there ever are
SETTINGS = {
    "MODEL.PIXEL_MEAN": ("pixels", "mean"),
    "MODEL.PIXEL_STD": ("pixels", "std"),
    "INPUT.MAX_SIZE_TEST": ("resize", "longest_edge"),
    "MODEL.RESNETS.STRIDE_IN_1X1": ("backbone", "stride_in_1x1"),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": ("rpn", "pre_nms_top_n"),
    "MODEL.RPN.POST_NMS_TOPK_TEST": ("rpn", "post_nms_top_n"),
    "MODEL.RPN.NMS_THRESH": ("rpn", "nms_threshold"),
    "MODEL.RPN.BBOX_REG_WEIGHTS": ("rpn", "delta_weights"),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": ("detection", "score_threshold"),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": ("detection", "nms_threshold"),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": ("box_head", "delta_weights"),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": ("roi", "mask_resolution"),
}
"""Keys whose value is that of a setting."""
OF_SEMANTIC_HEAD = {
    "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT": "loss_weight",
    "MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH": "min_score",
    "MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH": "max_overlap",
    "MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT": "min_stuff_area",
}
"""The same, in the group of the semantic branch, where the weights have one."""
_FPN_LEVELS = ["p2", "p3", "p4", "p5", "p6"]
ONLY = {
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.KEYPOINT_ON": False,
    "MODEL.LOAD_PROPOSALS": False,
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False] * 4,
    "MODEL.RESNETS.RES5_DILATION": 1,
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.FUSE_TYPE": "sum",
    "MODEL.PROPOSAL_GENERATOR.NAME": "RPN",
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": 0,
    "MODEL.ANCHOR_GENERATOR.NAME": "DefaultAnchorGenerator",
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0,
    "MODEL.RPN.HEAD_NAME": "StandardRPNHead",
    "MODEL.RPN.IN_FEATURES": _FPN_LEVELS,
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": _FPN_LEVELS[:4],
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": False,
    "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
}
"""Keys that would make another network or other numbers, with the one value that can be built."""
ONLY_PANOPTIC = {
    "MODEL.META_ARCHITECTURE": "PanopticFPN",
    "MODEL.SEM_SEG_HEAD.NAME": "SemSegFPNHead",
    "MODEL.SEM_SEG_HEAD.IN_FEATURES": _FPN_LEVELS[:4],
    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE": 4,
    "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT": 1.0,
}
"""And where the weights have a semantic branch; every config has its keys."""
ALIGNED = {"ROIAlignV2": True, "ROIAlign": False}
_NORMS = {
    "": "none",
    "GN": "gn",
    "FrozenBN": "frozen_bn",
    **dict.fromkeys(("BN", "SyncBN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N"), "bn"),
}
NORM_PLACES = {
    "MODEL.RESNETS.NORM": ("backbone", "norm"),
    "MODEL.FPN.NORM": ("fpn", "norm"),
    "MODEL.ROI_BOX_HEAD.NORM": ("box_head", "conv_norm"),
    "MODEL.ROI_MASK_HEAD.NORM": ("mask_head", "norm"),
    "MODEL.SEM_SEG_HEAD.NORM": ("semantic_head", "norm"),
}


def settings_in(config: Detectron2Config, structure: dict[str, Any], num_classes: int, preset: str) -> dict[str, Any]:
    """The differences from the presets that `config` gives, group by group.

    Raises:
        ValueError: it contradicts the weights, whose `structure` and `num_classes` these are, asks for what cannot be
            built, or has a value that is none; names the YAML and the key.
    """
    values = config.values
    is_panoptic = "semantic_head" in structure
    of_kind = ONLY_PANOPTIC if is_panoptic else {"MODEL.META_ARCHITECTURE": "GeneralizedRCNN"}
    for key, only in (ONLY | of_kind).items():
        if values.get(key, only) != only:
            came = excerpt(values[key])
            raise ValueError(f"{config.path}: {key} is {came}, which cannot be built here; only {only!r} can")
    for key, expected in structure_in_keys(structure, num_classes).items():
        if expected is not None and values.get(key, expected) != expected:
            came = excerpt(values[key])
            raise ValueError(
                f"{config.path}: {key} is {came}, but the weights in {config.weights.name} say {expected!r}; "
                + way_out(config.path, config.weights)
            )
    differences: dict[str, Any] = {}
    for key, (group, setting) in SETTINGS.items():
        if key in values:
            differences = overlay(differences, {group: {setting: values[key]}})
    for key, setting in OF_SEMANTIC_HEAD.items() if is_panoptic else ():
        if key in values:
            differences = overlay(differences, {"semantic_head": {setting: values[key]}})
    for part in (_pixel_order(config), _resize(config), _anchors(config), _roi(config), _norms(config, structure)):
        differences = overlay(differences, part)
    if "TEST.DETECTIONS_PER_IMAGE" in values:
        limit = values["TEST.DETECTIONS_PER_IMAGE"]
        unlimited = isinstance(limit, int) and limit < 0
        differences = overlay(differences, {"detection": {"max_detections": UNLIMITED if unlimited else limit}})
    if structure.get("backbone", {}).get("depth", 50) < 50:  # whose blocks have no 1x1
        differences = overlay(differences, {"backbone": {"stride_in_1x1": False}})
    below = {name: structure[name] for name in ("backbone", "semantic_head") if name in structure}
    model_settings(preset, str(config.path), **overlay(below, differences))
    return differences


def _pixel_order(config: Detectron2Config) -> dict[str, Any]:
    order = config.values.get("INPUT.FORMAT")
    if order not in (None, "BGR", "RGB"):
        raise ValueError(f"{config.path}: INPUT.FORMAT is {excerpt(order)}; only 'BGR' and 'RGB' can be used here")
    return {"pixels": {"order": order.lower()}} if order else {}


def _resize(config: Detectron2Config) -> dict[str, Any]:
    size = config.values.get("INPUT.MIN_SIZE_TEST")
    if size is None:
        return {}
    if size == 0:  # no resizing at all, whatever the limit of the longer side
        return {"resize": {"mode": "scale", "scale": 1.0, "longest_edge": UNLIMITED}}
    return {"resize": {"shortest_edge": size}}


def _anchors(config: Detectron2Config) -> dict[str, Any]:
    anchors: dict[str, Any] = {}
    sizes, ratios = (_by_level(config, f"MODEL.ANCHOR_GENERATOR.{name}") for name in ("SIZES", "ASPECT_RATIOS"))
    if sizes:
        if any(len(level) != 1 for level in sizes):
            raise ValueError(
                f"{config.path}: MODEL.ANCHOR_GENERATOR.SIZES is {excerpt(sizes)}, several sizes on a level, which "
                "cannot be built here; only one can"
            )
        anchors["sizes"] = [level[0] for level in sizes]
    if ratios:
        if any(level != ratios[0] for level in ratios):
            raise ValueError(
                f"{config.path}: MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS is {ratios}, other ratios on another level, "
                "which cannot be built here; only the same on all can"
            )
        anchors["ratios"] = ratios[0]
    return {"anchors": anchors} if anchors else {}


def _by_level(config: Detectron2Config, key: str) -> list[list[float]]:
    """Numbers of each level P2..P6; one list stands for all levels."""
    value = config.values.get(key)
    if value is None:
        return []
    levels = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    levels = levels * 5 if len(levels) == 1 else levels
    if len(levels) != 5 or not all(isinstance(level, list) and level for level in levels):
        raise ValueError(f"{config.path}: {key} is {excerpt(value)}; expected a list of numbers for each level P2..P6")
    return levels


def _roi(config: Detectron2Config) -> dict[str, Any]:
    """How both heads read their regions."""
    settings: dict[str, Any] = {}
    for key, default in (("POOLER_TYPE", "ROIAlignV2"), ("POOLER_SAMPLING_RATIO", 0)):
        of_heads = [config.values.get(f"MODEL.{head}.{key}", default) for head in ("ROI_BOX_HEAD", "ROI_MASK_HEAD")]
        if of_heads[0] != of_heads[1]:
            raise ValueError(
                f"{config.path}: MODEL.ROI_BOX_HEAD.{key} is {excerpt(of_heads[0])} and MODEL.ROI_MASK_HEAD.{key} "
                f"{excerpt(of_heads[1])}; only the same for both heads can be built here"
            )
        settings[key] = of_heads[0]
    if str(settings["POOLER_TYPE"]) not in ALIGNED:
        raise ValueError(
            f"{config.path}: MODEL.ROI_BOX_HEAD.POOLER_TYPE is {excerpt(settings['POOLER_TYPE'])}, which cannot be "
            f"built here; only {' and '.join(ALIGNED)} can"
        )
    aligned, ratio = ALIGNED[settings["POOLER_TYPE"]], settings["POOLER_SAMPLING_RATIO"]
    return {"roi": {"aligned": aligned, "sampling_ratio": ratio}}


def _norms(config: Detectron2Config, structure: dict[str, Any]) -> dict[str, Any]:
    """Whether batch norms are fixed; every norm must be of the kind that the weights have."""
    differences: dict[str, Any] = {}
    for key, (group, setting) in NORM_PLACES.items():
        part = structure.get(group, {})
        if key not in config.values or setting not in part or part.get("convs") == 0:
            continue
        name, own = config.values[key], part[setting]
        norm = _NORMS.get(name) if isinstance(name, str) else None
        if norm is None or _kind(norm) != _kind(own):
            raise ValueError(
                f"{config.path}: {key} is {excerpt(name)}, but the weights in {config.weights.name} have {_kind(own)}; "
                + way_out(config.path, config.weights)
            )
        if norm in ("bn", "frozen_bn"):
            differences[group] = {setting: norm}
    return differences


def _kind(norm: str) -> str:
    return {"none": "no norm there", "gn": "group norms"}.get(norm, "batch norms")


def structure_in_keys(structure: dict[str, Any], num_classes: int) -> dict[str, Any]:
    """What the keys must be for the weights; None where these do not tell."""
    body, box, mask, semantic = (
        structure.get(group, {}) for group in ("backbone", "box_head", "mask_head", "semantic_head")
    )
    width = body["width_per_group"] * body["stem_channels"] // 64 if "width_per_group" in body else None
    only_one = num_classes == 1  # there is nothing to be agnostic of
    return {
        "MODEL.MASK_ON": True if mask else None,
        "MODEL.RESNETS.DEPTH": body.get("depth"),
        "MODEL.RESNETS.NUM_GROUPS": body.get("groups"),
        "MODEL.RESNETS.WIDTH_PER_GROUP": width,
        "MODEL.RESNETS.STEM_OUT_CHANNELS": body.get("stem_channels"),
        "MODEL.FPN.OUT_CHANNELS": structure.get("fpn", {}).get("channels"),
        "MODEL.ROI_HEADS.NUM_CLASSES": num_classes if box else None,
        "MODEL.ROI_BOX_HEAD.NUM_CONV": box.get("convs"),
        "MODEL.ROI_BOX_HEAD.CONV_DIM": box.get("conv_channels") if box.get("convs") else None,
        "MODEL.ROI_BOX_HEAD.NUM_FC": box.get("fcs"),
        "MODEL.ROI_BOX_HEAD.FC_DIM": box.get("fc_channels"),
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": structure.get("roi", {}).get("box_resolution"),
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": None if only_one else box.get("class_agnostic"),
        "MODEL.ROI_MASK_HEAD.NUM_CONV": mask.get("convs"),
        "MODEL.ROI_MASK_HEAD.CONV_DIM": mask.get("channels"),
        "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": None if only_one else mask.get("class_agnostic"),
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES": len(semantic["class_names"]) if semantic else None,
        "MODEL.SEM_SEG_HEAD.CONVS_DIM": semantic.get("channels"),
    }
