"""One batch of pictures through a model, for prediction and for evaluation."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import numpy as np
import torch

from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.structures.instances import Instances

Precision = Literal["fp32", "bf16", "fp16"]
AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context in which the dense layers run in `precision`."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, AUTOCAST_TYPES[precision])


def detect(model: MaskRCNN, images: Sequence[np.ndarray], precision: Precision = "fp32") -> list[Instances]:
    """Instances of RGB uint8 (H, W, 3) `images`, in one padded batch, on the model's device.

    The model must be in eval mode.
    """
    with torch.inference_mode():
        resized = [model.resize(image) for image in images]
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        batch = model.normalise(resized, sizes, model.device)
        with autocast(model.device, precision):
            return model.detect(batch)
