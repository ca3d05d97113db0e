"""Grey levels cut by one threshold or several, for the whole image or around every pixel.

H W the image; T thresholds.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

Cut = float | Literal["mean", "otsu"]
"""A grey level 0..255, the mean of the image, or the level that Otsu's method chooses (IEEE Trans. SMC 9, 1979)."""
Weighting = Literal["mean", "gaussian"]


def grey_level(grey: np.ndarray, cut: Cut) -> float:
    """The level of a threshold for grey levels uint8 (H, W): pixels above it are light.

    Raises:
        ValueError: a number outside 0..255.
    """
    if cut == "mean":
        return float(grey.mean())
    if cut == "otsu":
        return float(cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0])
    level = float(cut)
    if not 0 <= level <= 255:
        raise ValueError(f"threshold: expected mean, otsu or a grey level of 0 to 255, got {cut}")
    return level


def threshold(grey: np.ndarray, cuts: Sequence[Cut]) -> tuple[np.ndarray, tuple[float, ...]]:
    """Levels uint8 (H, W), 0 the darkest, of T thresholds, and these in rising order.

    A pixel is above a threshold when its grey level is greater. Two equal thresholds leave no level between them.

    Raises:
        ValueError: no threshold, more than 254, or one out of range.
    """
    if not 1 <= len(cuts) <= 254:
        raise ValueError(f"threshold: expected 1 to 254 thresholds, got {len(cuts)}")
    levels = tuple(sorted(grey_level(grey, cut) for cut in cuts))
    # `digitize` counts those that are below each grey level; a table of 256 is faster than doing it for every pixel.
    table = np.digitize(np.arange(256), levels, right=True).astype(np.uint8)
    return cv2.LUT(grey, table), levels


def local_threshold(
    grey: np.ndarray, *, window_px: int | None = None, weighting: Weighting = "gaussian", offset: float = 5.0
) -> np.ndarray:
    """Levels uint8 (H, W): 0, or 1 where a pixel is lighter than its surroundings by more than `offset`.

    The surroundings are a square of `window_px`, odd; None takes `default_window`. Their mean is plain or weighted by a
    Gaussian. A negative `offset` is for dark objects: 0 is then what is darker than its surroundings by more than that.

    Raises:
        ValueError: an even window, or one below 3.
    """
    side = default_window(grey.shape) if window_px is None else window_px
    if side < 3 or side % 2 == 0:
        raise ValueError(f"window_px: expected an odd number of at least 3, got {side}")
    kind = {"mean": cv2.ADAPTIVE_THRESH_MEAN_C, "gaussian": cv2.ADAPTIVE_THRESH_GAUSSIAN_C}[weighting]
    return cv2.adaptiveThreshold(grey, 1, kind, cv2.THRESH_BINARY, side, -offset)  # OpenCV takes it off the mean


def default_window(image_size: tuple[int, ...]) -> int:
    """Odd px, about a fifth of the shorter side: larger than the objects, smaller than the changes of the light."""
    return max(3, min(image_size) // 5 | 1)
