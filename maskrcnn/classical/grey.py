"""What all methods start from: grey levels, and which of several regions is the background."""

from typing import Literal

import cv2
import numpy as np

ObjectSide = Literal["auto", "light", "dark"]
"""Whether objects are lighter or darker than what they lie on; "auto" looks at the border of the image."""


def grey_of(image: np.ndarray, smooth_px: float = 0.0) -> np.ndarray:
    """Grey levels uint8 (H, W) of an RGB uint8 (H, W, 3) image, after a Gaussian blur of that standard deviation.

    Raises:
        ValueError: another kind of array, or no pixel.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"expected a (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}")
    if smooth_px < 0:
        raise ValueError(f"smooth_px: expected 0 or more, got {smooth_px:g}")
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.GaussianBlur(grey, (0, 0), smooth_px) if smooth_px else grey


def background_of(levels: np.ndarray, num_levels: int, objects: ObjectSide) -> int:
    """Which of the levels 0..n-1, dark to light, of an integer (H, W) image is the background.

    The darkest for light objects, the lightest for dark ones. "auto" takes the level that most pixels at the border of
    the image have, since objects are cut off by it less often than the background is; of equals the larger one.
    """
    if objects != "auto":
        return 0 if objects == "light" else num_levels - 1
    border = np.concatenate([levels[0], levels[-1], levels[1:-1, 0], levels[1:-1, -1]])
    at_border = np.bincount(border.astype(np.int64), minlength=num_levels)
    everywhere = np.bincount(levels.ravel().astype(np.int64), minlength=num_levels)
    return int(np.lexsort((everywhere, at_border))[-1])
