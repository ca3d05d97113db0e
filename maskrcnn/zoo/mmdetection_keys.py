"""What the keys of an mmdetection config mean as settings of ours, and which of them cannot be met.

Both spellings are read: that of 1.x and early 2.x (`anchor_scales`, `out_size`, `max_num`), and the later one.
"""

from collections.abc import Mapping
from typing import Any

from maskrcnn.config import model_settings, overlay
from maskrcnn.model.fpn import STRIDES
from maskrcnn.zoo.mmdetection_config import MMDetectionConfig

Group = Mapping[str, Any]

_UNLIMITED = 10**6  # detections; more than there ever are
_FINEST_PER_CANONICAL = 4  # it counts levels from P2, whose regions are below 2 x 56 px; ours from P4 and 224 px
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
        kind = _at(model, f"{place}.type" if place else "type")
        # 3.x may write the type with its module.
        if kind is not None and str(kind).split(".")[-1] not in known:
            raise _cannot_be_built(config, f"{place}.type", kind, " or ".join(known))
    for place, only in _ONLY.items():
        value = _at(model, place, default=only)
        if value != only:
            raise _cannot_be_built(config, place, value, repr(only))
    if not config.is_in_file:
        _check_structure(config, model, structure)
    differences: dict[str, Any] = {}
    for part in (
        _pixels(config),
        _resize(config),
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
    """ "pytorch" or "caffe": where the body's stride is."""
    style = config.at("model", "backbone", "style")
    if style not in (None, "pytorch", "caffe"):
        raise _cannot_be_built(config, "backbone.style", style, "'pytorch' or 'caffe'")
    return style


def is_of_1x(config: MMDetectionConfig) -> bool:
    """Whether it is of mmdetection 1.x, or of 2.x with what it keeps for the weights of 1.x."""
    model = _model_of(config)
    kinds = (_at(model, "rpn_head.anchor_generator.type"), _at(model, "rpn_head.bbox_coder.type"))
    return config.at("model", "bbox_head") is not None or any(str(kind).startswith("Legacy") for kind in kinds)


def _model_of(config: MMDetectionConfig) -> dict[str, Any]:
    """Its model with the heads where 2.x has them, under `roi_head`, and `test_cfg` in it."""
    model = dict(config.values["model"])
    if "roi_head" not in model:
        names = ("bbox_roi_extractor", "bbox_head", "mask_roi_extractor", "mask_head")
        model["roi_head"] = {name: model[name] for name in names if name in model}
    if not model.get("test_cfg"):
        model["test_cfg"] = config.values.get("test_cfg", {})
    return model


def _at(group: Any, place: str, default: Any = None) -> Any:
    """What is at a dotted place; lists of numbers compare equal however they are written."""
    for key in place.split("."):
        if not isinstance(group, Mapping) or key not in group:
            return default
        group = group[key]
    return list(group) if isinstance(group, tuple) else group


def _cannot_be_built(config: MMDetectionConfig, place: str, value: object, only: str) -> ValueError:
    return ValueError(f"{config.name} has {place.lstrip('.')} {value!r}, which can't be built here; only {only} can")


def _replaced(config: MMDetectionConfig, model: Group) -> tuple[str, ...]:
    """What happens to the results, or to the picture several times, that is no matter of the weights."""
    suppression = _at(model, "test_cfg.rcnn.nms.type", default="nms")
    threshold = _at(model, "test_cfg.rcnn.mask_thr_binary", default=0.5)
    notes = [f"NMS in place of {suppression}"] if suppression != "nms" else []
    notes += [f"masks from 0.5 on in place of {threshold}"] if threshold != 0.5 else []
    return (*notes, "one size in place of several") if len(_test_sizes(config)) > 1 else tuple(notes)


def _numbers(config: MMDetectionConfig, place: str, value: Any) -> list[float] | None:
    """`value` if it is positive numbers, or None.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(v, int | float) and v > 0 for v in value):
        raise _cannot_be_built(config, place, value, "positive numbers")
    return value


def _first(group: Any, *places: str) -> Any:
    """The first of several spellings that is there."""
    return next((value for place in places if (value := _at(group, place)) is not None), None)


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _check_structure(config: MMDetectionConfig, model: Group, structure: dict[str, Any]) -> None:
    body = structure.get("backbone", {})
    expected = {"backbone.depth": body.get("depth"), "neck.out_channels": structure.get("fpn", {}).get("channels")}
    if _at(model, "backbone.type") == "ResNeXt":
        expected |= {"backbone.groups": body.get("groups")}
    for place, own in expected.items():
        value = _at(model, place)
        if None not in (value, own) and value != own:
            raise ValueError(f"{config.name} has {place} {value!r}, but the weights have {own!r}")


def _test_steps(config: MMDetectionConfig) -> list[Group]:
    """The steps through which a picture goes when it is tested, those within another after it."""
    pipeline = None
    for place in (("test_dataloader",), ("data", "test"), ("val_dataloader",), ("data", "val")):
        group = config.at(*place)
        while pipeline is None and isinstance(group, Mapping):
            pipeline, group = group.get("pipeline"), group.get("dataset")
    pipeline = pipeline if pipeline is not None else config.values.get("test_pipeline")
    steps: list[Group] = []
    for step in pipeline if isinstance(pipeline, list) else []:
        inner = step.get("transforms") if isinstance(step, Mapping) else None
        steps += [s for s in (step, *(inner if isinstance(inner, list) else ())) if isinstance(s, Mapping)]
    return steps


def _step(config: MMDetectionConfig, *types: str) -> Group | None:
    return next((s for s in _test_steps(config) if str(s.get("type")).split(".")[-1] in types), None)


def _pixels(config: MMDetectionConfig) -> dict[str, Any]:
    """Pictures are read as BGR; 3.x normalises them in the model, 1.x and 2.x in the pipeline."""
    in_model = config.at("model", "data_preprocessor")
    if isinstance(in_model, Mapping) and "type" in in_model and "mean" not in in_model:
        in_model = {**in_model, "mean": [0.0] * 3, "std": [1.0] * 3}
    places = (in_model, _step(config, "Normalize"), config.values.get("img_norm_cfg"))
    norm = next((place for place in places if isinstance(place, Mapping) and "mean" in place), {})
    is_turned = _first(norm, "bgr_to_rgb", "to_rgb", "rgb_to_bgr")
    load = _step(config, "LoadImageFromFile") or {}
    order = None
    if is_turned is not None:
        order = "rgb" if bool(is_turned) != (load.get("channel_order") == "rgb") else "bgr"
    pixels = _given(order=order, mean=norm.get("mean"), std=norm.get("std"))
    return {"pixels": pixels} if pixels else {}


def _test_sizes(config: MMDetectionConfig) -> list[Any]:
    """Sizes within which the picture is brought, in either order of the sides; several where it is tested so."""
    size = _first(_step(config, "Resize"), "scale", "img_scale")
    size = _first(_step(config, "MultiScaleFlipAug"), "img_scale") if size is None else size
    return size if isinstance(size, list) and size and isinstance(size[0], list) else [] if size is None else [size]


def _resize(config: MMDetectionConfig) -> dict[str, Any]:
    resize, sizes = _step(config, "Resize") or {}, _test_sizes(config)
    differences: dict[str, Any] = {}
    if len(sizes) == 1:
        size = _numbers(config, "the test pipeline's Resize.scale", sizes[0]) or []
        # Only 3.x has `scale`, and there stretching is the default.
        if not resize.get("keep_ratio", "scale" not in resize) or len(size) != 2:
            only = "one that keeps the ratio, such as (1333, 800),"
            raise _cannot_be_built(config, "the test pipeline's Resize", dict(resize), only)
        differences["resize"] = {"shortest_edge": min(size), "longest_edge": max(size)}
    if resize.get("backend") == "pillow":
        differences = overlay(differences, {"resize": {"interpolation": "pil"}})
    divisor = _first(_step(config, "Pad"), "size_divisor") or config.at(
        "model", "data_preprocessor", "pad_size_divisor"
    )
    return overlay(differences, {"pad": {"divisor": divisor}} if divisor else {})


def _backbone(config: MMDetectionConfig, model: Group, structure: dict[str, Any]) -> dict[str, Any]:
    style, body = style_of(config), structure.get("backbone", {})
    settings = _given(norm_eps=_at(model, "backbone.norm_cfg.eps"))
    if style and body.get("depth", 50) >= 50:
        settings["stride_in_1x1"] = style == "caffe"
    if _at(model, "backbone.norm_eval") is False and body.get("norm") in ("bn", "frozen_bn"):
        settings["norm"] = "bn"
    return {"backbone": settings} if settings else {}


def _anchors(config: MMDetectionConfig, model: Group) -> dict[str, Any]:
    head = _at(model, "rpn_head")
    scales = _first(head, "anchor_generator.scales", "anchor_scales")
    octave = _at(head, "anchor_generator.octave_base_scale")
    if scales is None and octave is not None and _at(head, "anchor_generator.scales_per_octave") == 1:
        scales = [octave]
    base_sizes = _first(head, "anchor_generator.base_sizes", "anchor_base_sizes") or _LEVEL_STRIDES
    offset = _at(head, "anchor_generator.center_offset", default=0)
    if _at(head, "anchor_generator.type") == "AnchorGenerator" and offset != 0:
        raise _cannot_be_built(config, "rpn_head.anchor_generator.center_offset", offset, "0")
    anchors = _given(ratios=_first(head, "anchor_generator.ratios", "anchor_ratios"))
    scales = _numbers(config, "rpn_head's anchor scales", scales)
    if scales is not None:
        if len(scales) != 1:
            raise _cannot_be_built(config, "rpn_head's anchor scales", scales, "one")
        anchors["sizes"] = [size * scales[0] for size in _numbers(config, "rpn_head's base sizes", base_sizes) or []]
    return {"anchors": anchors} if anchors else {}


def _rpn(config: MMDetectionConfig, model: Group) -> dict[str, Any]:
    test = _at(model, "test_cfg.rpn")
    settings = _given(
        pre_nms_top_n=_first(test, "nms_pre"),
        post_nms_top_n=_first(test, "max_per_img", "max_num"),
        nms_threshold=_first(test, "nms.iou_threshold", "nms.iou_thr", "nms_thr"),
        min_size=_first(test, "min_bbox_size"),
        delta_weights=_delta_weights(config, model, "rpn_head"),
    )
    return {"rpn": settings} if settings else {}


def _delta_weights(config: MMDetectionConfig, model: Group, head: str) -> list[float] | None:
    """What the deltas of `head` are divided by here, where mmdetection multiplies them by its `target_stds`."""
    place = f"{head}.target_stds"
    stds = _numbers(config, place, _first(model, f"{head}.bbox_coder.target_stds", place))
    return [1 / std for std in stds] if stds else None


def _roi(config: MMDetectionConfig, model: Group, is_legacy: bool) -> dict[str, Any]:
    """How both heads read their regions."""
    of_heads = []
    for place in ("roi_head.bbox_roi_extractor", "roi_head.mask_roi_extractor"):
        finest = _numbers(config, f"{place}.finest_scale", [_at(model, f"{place}.finest_scale", default=56)])
        layer = _at(model, f"{place}.roi_layer")
        if layer is not None and finest:
            aligned, ratio = _at(layer, "aligned", default=not is_legacy), _first(layer, "sampling_ratio", "sample_num")
            size = _FINEST_PER_CANONICAL * finest[0]
            of_heads.append({"aligned": aligned, "sampling_ratio": ratio or 0, "canonical_size": size})
    if not of_heads:
        return {}
    if of_heads[0] != of_heads[-1]:
        raise _cannot_be_built(config, "roi_head.mask_roi_extractor", of_heads[-1], "what bbox_roi_extractor has")
    resolution = _first(model, *(f"roi_head.mask_roi_extractor.roi_layer.{key}" for key in ("output_size", "out_size")))
    return {"roi": {**of_heads[0], **_given(mask_resolution=resolution)}}


def _box_head(config: MMDetectionConfig, model: Group) -> dict[str, Any]:
    weights = _delta_weights(config, model, "roi_head.bbox_head")
    return {"box_head": {"delta_weights": weights}} if weights else {}


def _detection(model: Group) -> dict[str, Any]:
    test = _at(model, "test_cfg.rcnn")
    limit = _first(test, "max_per_img")
    settings = _given(
        score_threshold=_first(test, "score_thr"),
        nms_threshold=_first(test, "nms.iou_threshold", "nms.iou_thr"),
        max_detections=_UNLIMITED if isinstance(limit, int) and limit < 0 else limit,
    )
    return {"detection": settings} if settings else {}
