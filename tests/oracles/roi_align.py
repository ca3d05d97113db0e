"""RoIAlign sample by sample, in Python numbers."""

import math

import numpy as np


def roi_align(
    features: np.ndarray,
    boxes: np.ndarray,
    image_idx: list[int],
    stride: float,
    size: int,
    sampling_ratio: int,
    aligned: bool,
) -> np.ndarray:
    """(R, C, S, S) from features (N, C, h, w); each bin is the mean of its samples."""
    pooled = np.zeros((len(boxes), features.shape[1], size, size))
    for r, (box, image) in enumerate(zip(boxes.astype(float), image_idx, strict=True)):
        x0, y0, x1, y1 = box / stride - (0.5 if aligned else 0.0)
        width, height = x1 - x0, y1 - y0
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        num_x = sampling_ratio or max(math.ceil(width / size), 1)
        num_y = sampling_ratio or max(math.ceil(height / size), 1)
        for row in range(size):
            for column in range(size):
                samples = [
                    bilinear(
                        features[image],
                        y0 + (row + (i + 0.5) / num_y) * height / size,
                        x0 + (column + (j + 0.5) / num_x) * width / size,
                    )
                    for i in range(num_y)
                    for j in range(num_x)
                ]
                pooled[r, :, row, column] = np.mean(samples, axis=0)
    return pooled


def bilinear(feature_map: np.ndarray, y: float, x: float) -> np.ndarray:
    """Channels (C,) between the four nearest cells; the border reaches one cell outwards, beyond it all is 0."""
    _, height, width = feature_map.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(len(feature_map))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = feature_map[:, top, left] * (left + 1 - x) + feature_map[:, top, right] * (x - left)
    lower = feature_map[:, bottom, left] * (left + 1 - x) + feature_map[:, bottom, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)
