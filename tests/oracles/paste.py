"""Paste masks into whole images, one instance at a time, in float64: the values (N, H, W) before any threshold."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn.structures.masks import PasteMode


def paste_dense(mask_probs: Tensor, boxes: Tensor, image_size: tuple[int, int], mode: PasteMode) -> np.ndarray:
    paste = {"exact": paste_exact, "expand_to_integer": paste_expanded, "integer": paste_integer}[mode]
    images = [paste(mask.double(), box, image_size) for mask, box in zip(mask_probs, boxes, strict=True)]
    return np.stack(images) if images else np.zeros((0, *image_size))


def threshold_dense(values: np.ndarray, mode: PasteMode) -> np.ndarray:
    return values > 0.5 if mode == "expand_to_integer" else values >= 0.5


def paste_exact(mask: Tensor, box: Tensor, image_size: tuple[int, int]) -> np.ndarray:
    """grid_sample over the whole image, at the pixel centres in coordinates where the box is -1..1."""
    x0, y0, x1, y1 = box.double().tolist()
    height, width = image_size
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        return np.zeros(image_size)
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - x0) / (x1 - x0) * 2 - 1
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - y0) / (y1 - y0) * 2 - 1
    # Far outside is as good as outside, and grid_sample overflows on it.
    grid = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1).clamp(-1e4, 1e4)
    return F.grid_sample(mask[None, None], grid[None], padding_mode="zeros", align_corners=False)[0, 0].numpy()


def paste_expanded(mask: Tensor, box: Tensor, image_size: tuple[int, int]) -> np.ndarray:
    """Pad by a ring of 0s, grow the box to hold it, cut the box to integers (in float32), resize, copy."""
    image = np.zeros(image_size)
    if not box.isfinite().all():
        return image
    size = mask.shape[-1]
    scale = float(size + 2) / size
    half_w, half_h = (box[2] - box[0]) * 0.5 * scale, (box[3] - box[1]) * 0.5 * scale
    centre_x, centre_y = (box[2] + box[0]) * 0.5, (box[3] + box[1]) * 0.5
    x0, y0 = int(centre_x - half_w), int(centre_y - half_h)
    x1, y1 = int(centre_x + half_w), int(centre_y + half_h)
    shape = (max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1))
    resized = F.interpolate(F.pad(mask, (1, 1, 1, 1))[None, None], shape, mode="bilinear", align_corners=False)[0, 0]
    for y in range(max(y0, 0), min(y1 + 1, image_size[0])):
        for x in range(max(x0, 0), min(x1 + 1, image_size[1])):
            image[y, x] = resized[y - y0, x - x0]
    return image


def paste_integer(mask: Tensor, box: Tensor, image_size: tuple[int, int]) -> np.ndarray:
    """Resize to the integer box pixel by pixel, 0 outside the mask, limited to the mask's own range."""
    image = np.zeros(image_size)
    if not box.isfinite().all():
        return image
    x0, y0, x1, y1 = (int(edge) for edge in box.tolist())
    size = mask.shape[-1]
    values = mask.numpy()

    def value_at(row: int, column: int) -> float:
        return float(values[row, column]) if 0 <= row < size and 0 <= column < size else 0.0

    for y in range(max(y0, 0), min(y1, image_size[0])):
        for x in range(max(x0, 0), min(x1, image_size[1])):
            row, column = (y + 0.5 - y0) / (y1 - y0) * size - 0.5, (x + 0.5 - x0) / (x1 - x0) * size - 0.5
            top, left = int(np.floor(row)), int(np.floor(column))
            down, right = row - top, column - left
            value = (1 - down) * ((1 - right) * value_at(top, left) + right * value_at(top, left + 1))
            value += down * ((1 - right) * value_at(top + 1, left) + right * value_at(top + 1, left + 1))
            image[y, x] = np.clip(value, values.min(), values.max())
    return image
