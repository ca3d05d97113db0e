"""What files of detectron2 and mmdetection say beside the weights: pixel statistics, and how many anchors there are."""

from typing import Any, Literal

from maskrcnn.checkpoints.source import Source
from maskrcnn.config import ModelSettings

_MEAN_RGB = (123.675, 116.28, 103.53)
_NEAR = 2.0  # a mean this near to ImageNet's, 0..255, is ImageNet's; Detectron1's is 1 away


def pixels_in(source: Source, mean: str, std: str) -> dict[str, Any]:
    """Settings from the entries `mean` and `std`; where they are ImageNet's, their order tells the channels'."""
    pixels: dict[str, Any] = {}
    for entry, key in ((mean, "mean"), (std, "std")):
        tensor = source.tensors.get(entry)
        if tensor is not None and tensor.numel() == 3:
            pixels[key] = tuple(round(value, 4) for value in tensor.flatten().tolist())
    orders: tuple[tuple[Literal["rgb", "bgr"], tuple[float, ...]], ...] = (("rgb", _MEAN_RGB), ("bgr", _MEAN_RGB[::-1]))
    for order, known in orders:
        if "mean" in pixels and all(abs(a - b) < _NEAR for a, b in zip(pixels["mean"], known, strict=True)):
            pixels["order"] = order
    return {"pixels": pixels} if pixels else {}


def expect_anchors(source: Source, objectness: str, differences: dict[str, Any], key: str, remedy: str) -> None:
    """Whether the entry `objectness` has as many rows as there are ratios.

    Args:
        differences: settings that differ from the preset.
        key: of the ratios in their config; may be empty.
        remedy: what must say the ratios, the end of the sentence.

    Raises:
        ValueError: it has not.
    """
    weight = source.tensors.get(objectness)
    ratios = differences.get("anchors", {}).get("ratios", ModelSettings().anchors.ratios)
    if weight is not None and weight.ndim == 4 and len(weight) != len(ratios):
        listed = f"{key}: {', '.join(map(str, ratios))}".removeprefix(": ")
        raise ValueError(
            f"{source.path}: weights for {len(weight)} anchors at a place, but {len(ratios)} ratios ({listed}); "
            f"{remedy}"
        )
