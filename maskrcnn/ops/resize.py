"""A picture at another size, in the ways in which the families do it; the same for training and for prediction."""

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

Interpolation = Literal["pil", "cv2", "torch", "skimage"]


def resize_pixels(image: np.ndarray, size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    """(h, w, 3) of `size` (height, width) from an RGB uint8 (H, W, 3) array; see `ResizeSettings.interpolation`.

    uint8, except that "torch" gives float32 0..255. At the size that it has, the array itself comes back.
    """
    if size == image.shape[:2]:
        return image
    height, width = size
    if interpolation == "torch":
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None].float()
        return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0).numpy()
    if interpolation == "pil":
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    if interpolation == "cv2":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return _resize_order1(image, size).astype(np.uint8)


def _resize_order1(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
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
