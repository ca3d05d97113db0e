"""TensorFlow's `crop_and_resize`, one sample at a time, on boxes normalised as matterport does."""

import math

import numpy as np


def crop_and_resize(
    features: np.ndarray, boxes: np.ndarray, image_idx: list[int], extent: tuple[int, int], size: int
) -> np.ndarray:
    """(R, C, S, S) of features (N, C, h, w); `boxes` (R, 4) on inclusive pixel indices of the frame `extent`."""
    _, channels, height, width = features.shape
    crops = np.zeros((len(boxes), channels, size, size))
    for r, (box, image) in enumerate(zip(boxes.astype(float), image_idx, strict=True)):
        x0, y0, x1, y1 = box / np.array([extent[1] - 1, extent[0] - 1] * 2)  # 0..1 from first to last pixel
        for row in range(size):
            for column in range(size):
                y = y0 * (height - 1) + row * (y1 - y0) * (height - 1) / (size - 1)
                x = x0 * (width - 1) + column * (x1 - x0) * (width - 1) / (size - 1)
                # A sample that only rounding pushed over the border counts as on it.
                if not (-1e-6 <= y <= height - 1 + 1e-6 and -1e-6 <= x <= width - 1 + 1e-6):
                    continue
                y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
                top, left, bottom, right = math.floor(y), math.floor(x), math.ceil(y), math.ceil(x)
                feature_map = features[image]
                upper = feature_map[:, top, left] * (1 - (x - left)) + feature_map[:, top, right] * (x - left)
                lower = feature_map[:, bottom, left] * (1 - (x - left)) + feature_map[:, bottom, right] * (x - left)
                crops[r, :, row, column] = upper * (1 - (y - top)) + lower * (y - top)
    return crops
