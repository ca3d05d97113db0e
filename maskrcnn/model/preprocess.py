"""From an RGB picture to the network's input: resize, normalise, pad.

Letters: N images, H W the padded frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from maskrcnn.structures.constants import constant
from maskrcnn.structures.image_batch import ImageBatch, Size
from maskrcnn.untrusted.machine_memory import memory_bytes

MAX_INPUT_PIXELS = 8192 * 8192
"""That the network sees of one picture, on a machine that has room for them; tiles are for larger pictures."""
BYTES_PER_PIXEL = 300
"""Of the network's input, at the peak of a ResNet with FPN in float32: 280 measured with 50 layers."""
MEMORY_SHARE = 0.5
"""Of the machine's memory that one picture may take."""

Interpolation = Literal["pil", "cv2", "torch", "skimage"]
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

    def factor(self, size: Size) -> float:
        """By which a picture of (height, width) `size` grows, were its longer side not limited."""
        scale = self.scale if self.mode == "scale" else self.shortest_edge / min(size)
        return max(1.0, scale) if self.upscale_only else scale

    def output_size(self, size: Size) -> Size:
        """(height, width) that a picture of `size` is brought to; at least 1 x 1."""
        shortest, longest = min(size), max(size)
        scale = self.factor(size)
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
        pixels = self.pixels(image, self.output_size(image.shape[:2]))
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float()

    def pixels(self, image: np.ndarray, size: Size) -> np.ndarray:
        """(h, w, 3) of `size` from an RGB uint8 (H, W, 3) array; the array itself where it has that size.

        uint8, except that "torch" gives float32 0..255. Training brings its pictures to their random sizes by this too.

        Raises:
            ValueError: `size` has more pixels than `max_input_pixels` allows.
        """
        _expect_room(image.shape[:2], size)
        if size == image.shape[:2]:
            return image
        height, width = size
        if self.interpolation == "torch":
            pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None].float()
            return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0).numpy()
        if self.interpolation == "pil":
            return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        if self.interpolation == "cv2":
            return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return _resize_order1(image, size).astype(np.uint8)


@cache
def max_input_pixels() -> int:
    """`MAX_INPUT_PIXELS`, or fewer on a machine whose memory the network's maps of so many would fill."""
    return int(min(MAX_INPUT_PIXELS, MEMORY_SHARE * memory_bytes() / BYTES_PER_PIXEL))


def _expect_room(size: Size, seen: Size) -> None:
    """Before memory is taken: a thin picture, or one that is enlarged, can become a huge input."""
    if seen[0] * seen[1] > max_input_pixels():
        raise ValueError(
            f"the network would see this image of {size[1]} x {size[0]} px at {seen[1]} x {seen[0]}, more than the "
            f"{max_input_pixels() / 1e6:.3g} million pixels that are allowed on this machine; a smaller "
            "resize.longest_edge limits it"
        )


def _round(value: float, rounding: Rounding) -> int:
    if rounding == "half_up":
        return int(value + 0.5)
    return math.floor(value) if rounding == "floor" else round(value)


def _resize_order1(image: np.ndarray, size: Size) -> np.ndarray:
    """skimage's order 1: half-pixel centres, no antialias, 0 outside blended in, clipped to the picture's range.

    In its order of operations too: where the exact value is whole, as in any flat region, the last bit of the sum
    decides what its truncation to uint8 sees.
    """
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    top, down = _cells_and_weights(image.shape[0], size[0])
    left, right = _cells_and_weights(image.shape[1], size[1])
    down, right = down[:, None, None], right[:, None]
    upper, lower = padded[top] * (1 - down), padded[top + 1] * down
    resized = upper[:, left] * (1 - right)
    resized += upper[:, left + 1] * right
    resized += lower[:, left] * (1 - right)
    resized += lower[:, left + 1] * right
    return np.clip(resized, image.min(), image.max())


def _cells_and_weights(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `target` samples the cell before it, counted with one cell of padding, and the weight of the next."""
    position = (np.arange(target) + 0.5) * (source / target) - 0.5
    before = np.floor(position)
    return before.astype(np.int64) + 1, position - before


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
        mean, std = (constant(tuple(numbers), device)[:, None, None] for numbers in (self.mean, self.std))
        empty = -mean / std if self.pad_value == "black" else torch.zeros_like(mean)
        pixels = empty.expand(len(images), 3, height, width).contiguous(memory_format=torch.channels_last)
        origins: list[Size] = []
        for i, (image, (h, w)) in enumerate(zip(on_device(images, device), sizes, strict=True)):
            y, x = ((height - h) // 2, (width - w) // 2) if self.pad_position == "centre" else (0, 0)
            image = image.float()
            image = image.flip(0) if self.order == "bgr" else image
            pixels[i, :, y : y + h, x : x + w] = (image - mean) / std
            origins.append((y, x))
        return ImageBatch(pixels, tuple(sizes), tuple(original_sizes), tuple(origins))


def on_device(images: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """`images` of the CPU on `device`, all in one copy."""
    if device.type == "cpu" or not images:
        return list(images)
    sizes = [image.numel() for image in images]
    flat = torch.cat([image.flatten() for image in images]).to(device, non_blocking=True)
    return [part.view(image.shape) for part, image in zip(flat.split(sizes), images, strict=True)]
