"""The rim of a mask and IoU of rims the slow way: erosion of full images, whatever is outside of them being empty."""

import math

import cv2
import numpy as np


def boundary_reference(mask: np.ndarray) -> np.ndarray:
    """bool (H, W): the pixels of `mask`, bool (H, W), that go when a 3 x 3 square erodes it as often as d says.

    d is 2 % of the image's diagonal, rounded to whole pixels, and at least 1.
    """
    height, width = mask.shape
    d = max(1, round(0.02 * math.sqrt(height**2 + width**2)))
    padded = np.zeros((height + 2 * d, width + 2 * d), np.uint8)
    padded[d : d + height, d : d + width] = mask
    for _ in range(d):
        padded = cv2.erode(padded, np.ones((3, 3), np.uint8))
    return mask & (padded[d : d + height, d : d + width] == 0)


def boundary_iou_reference(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of the rims of two masks, bool (H, W)."""
    a, b = boundary_reference(a), boundary_reference(b)
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 0.0
