"""What mmdetection's test pipeline does to a picture before the network, as settings of ours."""

from collections.abc import Mapping
from typing import Any

from maskrcnn.checkpoints.families.mmdetection_config import MMDetectionConfig, cannot_be_built, first, given, numbers
from maskrcnn.config import overlay

Group = Mapping[str, Any]


def pixels_in(config: MMDetectionConfig) -> dict[str, Any]:
    """Pictures are read as BGR; 3.x normalises them in the model, 1.x and 2.x in the pipeline."""
    in_model = config.at("model.data_preprocessor")
    if isinstance(in_model, Mapping) and "type" in in_model and "mean" not in in_model:
        in_model = {**in_model, "mean": [0.0] * 3, "std": [1.0] * 3}
    places = (in_model, _step(config, "Normalize"), config.values.get("img_norm_cfg"))
    norm = next((place for place in places if isinstance(place, Mapping) and "mean" in place), {})
    is_turned = first(norm, "bgr_to_rgb", "to_rgb", "rgb_to_bgr")
    load = _step(config, "LoadImageFromFile") or {}
    order = None
    if is_turned is not None:
        order = "rgb" if bool(is_turned) != (load.get("channel_order") == "rgb") else "bgr"
    pixels = given(order=order, mean=norm.get("mean"), std=norm.get("std"))
    return {"pixels": pixels} if pixels else {}


def tested_sizes(config: MMDetectionConfig) -> list[Any]:
    """Sizes within which the picture is brought, in either order of the sides; several where it is tested so."""
    size = first(_step(config, "Resize"), "scale", "img_scale")
    size = first(_step(config, "MultiScaleFlipAug"), "img_scale") if size is None else size
    return size if isinstance(size, list) and size and isinstance(size[0], list) else [] if size is None else [size]


def resize_in(config: MMDetectionConfig) -> dict[str, Any]:
    resize, sizes = _step(config, "Resize") or {}, tested_sizes(config)
    differences: dict[str, Any] = {}
    if len(sizes) == 1:
        size = numbers(config, "the test pipeline's Resize.scale", sizes[0]) or []
        # Only 3.x has `scale`, and there stretching is the default.
        if not resize.get("keep_ratio", "scale" not in resize) or len(size) != 2:
            only = "one that keeps the ratio, such as (1333, 800),"
            raise cannot_be_built(config, "the test pipeline's Resize", dict(resize), only)
        differences["resize"] = {"shortest_edge": min(size), "longest_edge": max(size)}
    if resize.get("backend") == "pillow":
        differences = overlay(differences, {"resize": {"interpolation": "pil"}})
    divisor = first(_step(config, "Pad"), "size_divisor") or config.at("model.data_preprocessor.pad_size_divisor")
    return overlay(differences, {"pad": {"divisor": divisor}} if divisor else {})


def _test_steps(config: MMDetectionConfig) -> list[Group]:
    """The steps through which a picture goes when it is tested, those within another after it."""
    pipeline = None
    for place in ("test_dataloader", "data.test", "val_dataloader", "data.val"):
        group = config.at(place)
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
