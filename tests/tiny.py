"""A model that fits a test, and pictures of squares and discs whose truth is known."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from maskrcnn.config import ModelSettings, model_settings
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

CLASS_NAMES = ("square", "disc")
Shape = tuple[Literal["square", "disc"], int, int, int]  # kind, x0, y0, side

_TINY: dict[str, dict[str, Any]] = {
    "resize": {"mode": "scale", "scale": 1.0, "interpolation": "pil"},
    "backbone": {"depth": 18, "stem_channels": 32, "norm": "gn", "stride_in_1x1": False},
    "fpn": {"channels": 32, "norm": "gn"},
    "anchors": {"sizes": (8, 16, 32, 64, 128)},
    "rpn": {
        "pre_nms_top_n": 100,
        "post_nms_top_n": 50,
        "train_pre_nms_top_n": 100,
        "train_post_nms_top_n": 50,
        "anchors_per_image": 64,
    },
    "roi": {"proposals_per_image": 32},
    "box_head": {"fc_channels": 64},
    "mask_head": {"convs": 2, "channels": 32},
    "detection": {"score_threshold": 0.05},  # random weights are sure of nothing
}


def tiny_settings(preset: str = "maskrcnn", **differences: dict[str, Any]) -> ModelSettings:
    """Settings of `preset`, made small, with `differences` group by group."""
    groups = {**_TINY, **{name: {**_TINY.get(name, {}), **group} for name, group in differences.items()}}
    return model_settings(preset, "test", class_names=CLASS_NAMES, **groups)


def tiny_model(preset: str = "maskrcnn", **differences: dict[str, Any]) -> MaskRCNN:
    """The same random model at every call, in training mode."""
    torch.manual_seed(1)
    return build_model(tiny_settings(preset, **differences))


def scene(shapes: Sequence[Shape], size: tuple[int, int] = (96, 96)) -> tuple[np.ndarray, Targets]:
    """RGB picture (H, W, 3) of bright squares and discs on grey, and its truth."""
    image = np.full((*size, 3), 90, np.uint8)
    bitmaps = []
    for kind, x0, y0, side in shapes:
        offset = np.arange(side) + 0.5 - side / 2
        disc = offset[:, None] ** 2 + offset[None, :] ** 2 <= (side / 2) ** 2
        bitmap = disc if kind == "disc" else np.ones((side, side), bool)
        image[y0 : y0 + side, x0 : x0 + side][bitmap] = (220, 60, 60) if kind == "disc" else (60, 200, 230)
        bitmaps.append((x0, y0, bitmap))
    boxes = [[x0, y0, x0 + side, y0 + side] for _, x0, y0, side in shapes]
    return image, Targets(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([CLASS_NAMES.index(kind) for kind, *_ in shapes], dtype=torch.int64),
        masks=MaskCrops.from_bitmaps(bitmaps),
        ignore_boxes=torch.zeros(0, 4),
    )


def batch(model: MaskRCNN, images: Sequence[np.ndarray]) -> ImageBatch:
    """What `model` reads of `images`, on its device."""
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    return model.normalise([model.resize(image) for image in images], sizes, model.device)
