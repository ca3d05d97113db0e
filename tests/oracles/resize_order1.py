"""scikit-image's resize of order 1 without antialiasing, pixel by pixel.

Half-pixel centres; a sample beyond the outermost centres blends with 0; then the picture's own range is the limit.
"""

import math

import numpy as np


def resize_order1(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, C) float64 from (H, W, C)."""
    height, width = image.shape[:2]

    def value_at(row: int, column: int) -> np.ndarray:
        inside = 0 <= row < height and 0 <= column < width
        return image[row, column].astype(float) if inside else np.zeros(image.shape[2])

    resized = np.zeros((*size, image.shape[2]))
    for i in range(size[0]):
        for j in range(size[1]):
            y = (i + 0.5) * height / size[0] - 0.5
            x = (j + 0.5) * width / size[1] - 0.5
            top, left = math.floor(y), math.floor(x)
            upper = value_at(top, left) * (left + 1 - x) + value_at(top, left + 1) * (x - left)
            lower = value_at(top + 1, left) * (left + 1 - x) + value_at(top + 1, left + 1) * (x - left)
            resized[i, j] = upper * (top + 1 - y) + lower * (y - top)
    return resized.clip(image.min(), image.max())
