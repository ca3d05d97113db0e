"""What the keys of an mmdetection config mean as settings of ours, and which of them cannot be met.

Both spellings are read: that of 1.x and early 2.x (`anchor_scales`, `out_size`, `max_num`), and the later one.
"""

from collections.abc import Mapping
from typing import Any

from maskrcnn.checkpoints.families.mmdetection_config import (
    MMDetectionConfig,
    at,
    cannot_be_built,
    first,
    given,
    numbers,
)
from maskrcnn.checkpoints.families.mmdetection_pipeline import pixels_in, resize_in, tested_sizes
from maskrcnn.config import model_settings, overlay
from maskrcnn.model.fpn import STRIDES
from maskrcnn.untrusted.excerpt import excerpt

Group = Mapping[str, Any]

UNLIMITED = 10**6  # detections; more than there ever are
FINEST_PER_CANONICAL = 4  # it counts levels from P2, whose regions are below 2 x 56 px; ours from P4 and 224 px
_TYPES = {
    "": ("MaskRCNN",),
    "backbone": ("ResNet", "ResNeXt"),
    "neck": ("FPN",),
    "rpn_head": ("RPNHead",),
    "rpn_head.anchor_generator": ("AnchorGenerator", "LegacyAnchorGenerator"),
    "rpn_head.bbox_coder": ("DeltaXYWHBBoxCoder", "LegacyDeltaXYWHBBoxCoder"),
    "roi_head": ("StandardRoIHead",),
    "roi_head.bbox_roi_extractor": ("SingleRoIExtractor",),
    "roi_head.bbox_roi_extractor.roi_layer": ("RoIAlign",),
    "roi_head.bbox_head": ("Shared2FCBBoxHead", "Shared4Conv1FCBBoxHead", "ConvFCBBoxHead", "SharedFCBBoxHead"),
    "roi_head.bbox_head.bbox_coder": ("DeltaXYWHBBoxCoder", "LegacyDeltaXYWHBBoxCoder"),
    "roi_head.mask_roi_extractor": ("SingleRoIExtractor",),
    "roi_head.mask_roi_extractor.roi_layer": ("RoIAlign",),
    "roi_head.mask_head": ("FCNMaskHead",),
    "roi_head.mask_head.upsample_cfg": ("deconv",),
}
"""The types that can be built, by their place in the model."""
_NO_MEANS, _LEVEL_STRIDES = [0.0] * 4, list(STRIDES)
_ONLY = {
    "backbone.num_stages": 4,
    "backbone.out_indices": [0, 1, 2, 3],
    "backbone.strides": [1, 2, 2, 2],
    "backbone.dilations": [1, 1, 1, 1],
    "backbone.deep_stem": False,
    "backbone.avg_down": False,
    "backbone.conv_cfg": None,
    "backbone.dcn": None,
    "backbone.plugins": None,
    "backbone.norm_cfg.num_groups": 32,
    "neck.start_level": 0,
    "neck.num_outs": 5,
    "neck.add_extra_convs": False,
    "neck.conv_cfg": None,
    "neck.norm_cfg.num_groups": 32,
    "rpn_head.loss_cls.use_sigmoid": True,
    "rpn_head.anchor_strides": _LEVEL_STRIDES,
    "rpn_head.anchor_generator.strides": _LEVEL_STRIDES,
    "rpn_head.target_means": _NO_MEANS,
    "rpn_head.bbox_coder.target_means": _NO_MEANS,
    "rpn_head.bbox_coder.clip_border": True,
    "roi_head.bbox_roi_extractor.featmap_strides": _LEVEL_STRIDES[:4],
    "roi_head.mask_roi_extractor.featmap_strides": _LEVEL_STRIDES[:4],
    "roi_head.bbox_head.conv_cfg": None,
    "roi_head.bbox_head.with_avg_pool": False,
    "roi_head.bbox_head.target_means": _NO_MEANS,
    "roi_head.bbox_head.bbox_coder.target_means": _NO_MEANS,
    "roi_head.bbox_head.bbox_coder.clip_border": True,
    "roi_head.mask_head.conv_cfg": None,
    "roi_head.mask_head.upsample_method": "deconv",
    "test_cfg.rpn.nms_across_levels": False,
}
"""Keys of the model that would make another network or other numbers, with the one value that can be built."""


def settings_in(
    config: MMDetectionConfig, structure: dict[str, Any], preset: str, is_legacy: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The differences from the presets that `config` gives, group by group.

    Args:
        structure: of the weights; a config beside them must be for such ones.
        is_legacy: of mmdetection 1.x, which has other defaults.

    Returns:
        The differences, and what it does after the network that is done otherwise here, in words.

    Raises:
        ValueError: it asks for what cannot be built, is of another network, or has a value that is none; names the
            key.
    """
    model = _model_of(config)
    for place, known in _TYPES.items():
        kind = at(model, f"{place}.type" if place else "type")
        # 3.x may write the type with its module.
        if kind is not None and str(kind).split(".")[-1] not in known:
            raise cannot_be_built(config, f"{place}.type", kind, " or ".join(known))
    for place, only in _ONLY.items():
        value = at(model, place, default=only)
        if value != only:
            raise cannot_be_built(config, place, value, repr(only))
    if not config.is_in_file:
        _check_structure(config, model, structure)
    differences: dict[str, Any] = {}
    for part in (
        pixels_in(config),
        resize_in(config),
        _backbone(config, model, structure),
        _anchors(config, model),
        _rpn(config, model),
        _roi(config, model, is_legacy),
        _box_head(config, model),
        _detection(model),
    ):
        differences = overlay(differences, part)
    model_settings(preset, config.name, **overlay({"backbone": structure.get("backbone", {})}, differences))
    return differences, _replaced(config, model)


def style_of(config: MMDetectionConfig) -> str | None:
    """Where the body has its stride: "pytorch" in its 3x3, "caffe" in its 1x1 convolutions."""
    style = config.at("model.backbone.style")
    if style not in (None, "pytorch", "caffe"):
        raise cannot_be_built(config, "backbone.style", style, "'pytorch' or 'caffe'")
    return style


def is_of_1x(config: MMDetectionConfig) -> bool:
    """Whether it is of mmdetection 1.x, or of 2.x with what it keeps for the weights of 1.x."""
    model = _model_of(config)
    kinds = (at(model, "rpn_head.anchor_generator.type"), at(model, "rpn_head.bbox_coder.type"))
    return config.at("model.bbox_head") is not None or any(str(kind).startswith("Legacy") for kind in kinds)


def _model_of(config: MMDetectionConfig) -> dict[str, Any]:
    """Its model with the heads where 2.x has them, under `roi_head`, and `test_cfg` in it."""
    model = dict(config.values["model"])
    if "roi_head" not in model:
        names = ("bbox_roi_extractor", "bbox_head", "mask_roi_extractor", "mask_head")
        model["roi_head"] = {name: model[name] for name in names if name in model}
    if not model.get("test_cfg"):
        model["test_cfg"] = config.values.get("test_cfg", {})
    return model


def _replaced(config: MMDetectionConfig, model: Group) -> tuple[str, ...]:
    """What happens to the results, or to the picture several times, that is no matter of the weights."""
    suppression = at(model, "test_cfg.rcnn.nms.type", default="nms")
    threshold = at(model, "test_cfg.rcnn.mask_thr_binary", default=0.5)
    notes = [f"NMS in place of {suppression}"] if suppression != "nms" else []
    notes += [f"masks from 0.5 on in place of {threshold}"] if threshold != 0.5 else []
    return (*notes, "one size in place of several") if len(tested_sizes(config)) > 1 else tuple(notes)


def _check_structure(config: MMDetectionConfig, model: Group, structure: dict[str, Any]) -> None:
    body = structure.get("backbone", {})
    expected = {"backbone.depth": body.get("depth"), "neck.out_channels": structure.get("fpn", {}).get("channels")}
    if at(model, "backbone.type") == "ResNeXt":
        expected |= {"backbone.groups": body.get("groups")}
    for place, own in expected.items():
        value = at(model, place)
        if None not in (value, own) and value != own:
            raise ValueError(f"{config.name} has {place} {excerpt(value)}, but the weights have {own!r}")


def _backbone(config: MMDetectionConfig, model: Group, structure: dict[str, Any]) -> dict[str, Any]:
    style, body = style_of(config), structure.get("backbone", {})
    settings = given(norm_eps=at(model, "backbone.norm_cfg.eps"))
    if style and body.get("depth", 50) >= 50:
        settings["stride_in_1x1"] = style == "caffe"
    if at(model, "backbone.norm_eval") is False and body.get("norm") in ("bn", "frozen_bn"):
        settings["norm"] = "bn"
    return {"backbone": settings} if settings else {}


def _anchors(config: MMDetectionConfig, model: Group) -> dict[str, Any]:
    head = at(model, "rpn_head")
    scales = first(head, "anchor_generator.scales", "anchor_scales")
    octave = at(head, "anchor_generator.octave_base_scale")
    if scales is None and octave is not None and at(head, "anchor_generator.scales_per_octave") == 1:
        scales = [octave]
    base_sizes = first(head, "anchor_generator.base_sizes", "anchor_base_sizes") or _LEVEL_STRIDES
    offset = at(head, "anchor_generator.center_offset", default=0)
    if offset != 0 and base_sizes != _LEVEL_STRIDES:  # of which it is a part
        raise cannot_be_built(config, "rpn_head.anchor_generator.center_offset", offset, "0")
    anchors = given(ratios=first(head, "anchor_generator.ratios", "anchor_ratios"), offset=offset or None)
    scales = numbers(config, "rpn_head's anchor scales", scales)
    if scales is not None:
        if len(scales) != 1:
            raise cannot_be_built(config, "rpn_head's anchor scales", scales, "one")
        anchors["sizes"] = [size * scales[0] for size in numbers(config, "rpn_head's base sizes", base_sizes) or []]
    return {"anchors": anchors} if anchors else {}


def _rpn(config: MMDetectionConfig, model: Group) -> dict[str, Any]:
    test = at(model, "test_cfg.rpn")
    settings = given(
        pre_nms_top_n=first(test, "nms_pre"),
        post_nms_top_n=first(test, "max_per_img", "max_num"),
        nms_threshold=first(test, "nms.iou_threshold", "nms.iou_thr", "nms_thr"),
        min_size=first(test, "min_bbox_size"),
        delta_weights=_delta_weights(config, model, "rpn_head"),
    )
    return {"rpn": settings} if settings else {}


def _delta_weights(config: MMDetectionConfig, model: Group, head: str) -> list[float] | None:
    """What the deltas of `head` are divided by here, where mmdetection multiplies them by its `target_stds`."""
    place = f"{head}.target_stds"
    stds = numbers(config, place, first(model, f"{head}.bbox_coder.target_stds", place))
    return [1 / std for std in stds] if stds else None


def _roi(config: MMDetectionConfig, model: Group, is_legacy: bool) -> dict[str, Any]:
    """How both heads read their regions."""
    of_heads = []
    for place in ("roi_head.bbox_roi_extractor", "roi_head.mask_roi_extractor"):
        finest = numbers(config, f"{place}.finest_scale", [at(model, f"{place}.finest_scale", default=56)])
        layer = at(model, f"{place}.roi_layer")
        if layer is not None and finest:
            aligned, ratio = at(layer, "aligned", default=not is_legacy), first(layer, "sampling_ratio", "sample_num")
            size = FINEST_PER_CANONICAL * finest[0]
            of_heads.append({"aligned": aligned, "sampling_ratio": ratio or 0, "canonical_size": size})
    if not of_heads:
        return {}
    if of_heads[0] != of_heads[-1]:
        raise cannot_be_built(config, "roi_head.mask_roi_extractor", of_heads[-1], "what bbox_roi_extractor has")
    resolution = first(model, *(f"roi_head.mask_roi_extractor.roi_layer.{key}" for key in ("output_size", "out_size")))
    return {"roi": {**of_heads[0], **given(mask_resolution=resolution)}}


def _box_head(config: MMDetectionConfig, model: Group) -> dict[str, Any]:
    weights = _delta_weights(config, model, "roi_head.bbox_head")
    return {"box_head": {"delta_weights": weights}} if weights else {}


def _detection(model: Group) -> dict[str, Any]:
    test = at(model, "test_cfg.rcnn")
    limit = first(test, "max_per_img")
    settings = given(
        score_threshold=first(test, "score_thr"),
        nms_threshold=first(test, "nms.iou_threshold", "nms.iou_thr"),
        max_detections=UNLIMITED if isinstance(limit, int) and limit < 0 else limit,
    )
    return {"detection": settings} if settings else {}
