"""From an RGB picture to the network's input: resize, normalise, pad.

Letters: N images, H W the padded frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from maskrcnn.ops.resize import Interpolation, resize_pixels
from maskrcnn.structures.image_batch import ImageBatch, Size

Rounding = Literal["half_up", "floor", "half_even"]


@dataclass(frozen=True)
class Resize:
    """The size at which the network sees a picture, and how its pixels get there; see `ResizeSettings`."""

    mode: Literal["shortest_edge", "scale", "square"] = "shortest_edge"
    shortest_edge: int = 800
    longest_edge: int = 1333
    scale: float = 1.0
    upscale_only: bool = False
    interpolation: Interpolation = "pil"
    rounding: Rounding = "half_up"

    def output_size(self, size: Size) -> Size:
        """(height, width) that a picture of `size` is brought to; at least 1 x 1."""
        shortest, longest = min(size), max(size)
        scale = self.scale if self.mode == "scale" else self.shortest_edge / shortest
        if self.upscale_only:
            scale = max(1.0, scale)
        if self.mode == "shortest_edge" and self.interpolation == "pil" and not self.upscale_only:
            # detectron2's order of operations: where the limit gives an exact half, as for 149 x 298, it decides.
            sides = [float(self.shortest_edge) if side == shortest else side * scale for side in size]
            shrink = min(1.0, self.longest_edge / max(sides))
            height, width = (max(1, _round(side * shrink, self.rounding)) for side in sides)
            return height, width
        if self.mode == "square":  # matterport rounds the long side before it compares
            scale = self.longest_edge / longest if round(longest * scale) > self.longest_edge else scale
        else:
            scale = min(scale, self.longest_edge / longest)
        height, width = (max(1, _round(side * scale, self.rounding)) for side in size)
        return height, width

    def __call__(self, image: np.ndarray) -> Tensor:
        """(3, h, w) float32 RGB 0..255 from an RGB uint8 (H, W, 3) array."""
        pixels = resize_pixels(image, self.output_size(image.shape[:2]), self.interpolation)
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float()


def _round(value: float, rounding: Rounding) -> int:
    if rounding == "half_up":
        return int(value + 0.5)
    return math.floor(value) if rounding == "floor" else round(value)


@dataclass(frozen=True)
class Normalise:
    """Channel order, mean and deviation, and the padding of a batch; see `PixelSettings` and `PadSettings`."""

    order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    pad_position: Literal["top_left", "centre"] = "top_left"
    pad_divisor: int = 32
    pad_value: Literal["mean", "black"] = "mean"

    def __call__(self, images: Sequence[Tensor], original_sizes: Sequence[Size], device: torch.device) -> ImageBatch:
        """Batch of `images` (3, h, w) RGB 0..255, uint8 or float, already at the network's size."""
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = (
            math.ceil(max(side) / self.pad_divisor) * self.pad_divisor for side in zip(*sizes, strict=True)
        )
        mean = torch.tensor(self.mean, device=device)[:, None, None]
        std = torch.tensor(self.std, device=device)[:, None, None]
        empty = -mean / std if self.pad_value == "black" else torch.zeros_like(mean)
        pixels = empty.expand(len(images), 3, height, width).contiguous(memory_format=torch.channels_last)
        origins: list[Size] = []
        for i, (image, (h, w)) in enumerate(zip(images, sizes, strict=True)):
            y, x = ((height - h) // 2, (width - w) // 2) if self.pad_position == "centre" else (0, 0)
            image = image.to(device, non_blocking=True).float()
            image = image.flip(0) if self.order == "bgr" else image
            pixels[i, :, y : y + h, x : x + w] = (image - mean) / std
            origins.append((y, x))
        return ImageBatch(pixels, tuple(sizes), tuple(original_sizes), tuple(origins))
