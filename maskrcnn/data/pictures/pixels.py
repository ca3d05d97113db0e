"""From the numbers that a picture file stores to RGB uint8 (H, W, 3), by one rule for every format.

- uint8 is taken as it is; booleans are black and white.
- Everything else (more than 8 bits, signed, float) is stretched by `stretch_to_uint8`, colours together.
- Where zero means white the result is inverted, whatever the type.
- An alpha channel is never stretched: full scale is opaque (1.0 for floats). The colours are laid over white.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import cv2
import numpy as np

from maskrcnn.data.pictures.limits import ImageError

# Percentiles that become 0 and 255 when more than 8 bits per channel have to be shown in 8: a few hot pixels of a
# camera must not turn the rest of the picture black.
STRETCH_PERCENTILES = (0.1, 99.9)
# The percentiles of a larger image are measured on a regular subset of about this many pixels.
STRETCH_SAMPLE_PIXELS = 4_000_000
STRIP_NUMBERS = 1 << 20
"""Numbers done at a time, so that a copy of 200 megapixels in floats is never made."""

ValueRange = tuple[float, float]
"""The numbers of an array that are black and full intensity."""
Alpha = Literal["none", "straight", "premultiplied"]


class Stored(NamedTuple):
    """A picture as its file stores it."""

    numbers: np.ndarray
    """(H, W) or (H, W, S), any type."""
    alpha: Alpha = "straight"
    is_zero_white: bool = False
    orientation: int = 1
    """EXIF number."""

    def rgb(self, value_range: ValueRange | None = None) -> np.ndarray:
        """RGB uint8 (H, W, 3), upright; what has more than 8 bits by its own range where none is given."""
        # Turned before anything is copied: the stored numbers and this are then all that is held at once.
        return numbers_to_rgb(orient(self.numbers, self.orientation), self.alpha, self.is_zero_white, value_range)

    def channels(self, are_equal_merged: bool = True) -> np.ndarray:
        """The numbers upright (H, W, 1) or (H, W, 3), neither stretched nor laid over white, bright ones large.

        Alpha is left out; three equal channels, a grey picture saved as colour, are one unless they are to stay. A view
        where that goes.
        """
        numbers = self.numbers[..., None] if self.numbers.ndim == 2 else self.numbers
        numbers = numbers[..., : 1 if numbers.shape[2] < 3 else 3]
        if are_equal_merged and numbers.shape[2] == 3 and _is_grey(numbers):
            numbers = numbers[..., :1]
        if self.is_zero_white:
            numbers = -numbers if numbers.dtype.kind == "f" else ~numbers
        return orient(numbers, self.orientation)


def numbers_to_rgb(
    pixels: np.ndarray,
    alpha: Alpha = "straight",
    is_zero_white: bool = False,
    value_range: ValueRange | None = None,
) -> np.ndarray:
    """Stored numbers of any type, (H, W) or (H, W, S) with S of 1, 2 (grey, alpha), 3 or 4 -> RGB uint8 (H, W, 3).

    Args:
        alpha: what the last channel of 2 or 4 is; with "none" it is left out.
        value_range: what becomes 0 and 255 of numbers that are not uint8; None takes `stretch_range`.
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    num_colours = 1 if pixels.shape[2] < 3 else 3
    opacity = pixels[..., num_colours] if pixels.shape[2] in (2, 4) and alpha != "none" else None
    colours = pixels if pixels.shape[2] == num_colours else pixels[..., :num_colours]
    if opacity is not None:
        opacity = _opacity(opacity)
    if colours.dtype == bool:
        colours = colours.view(np.uint8) * np.uint8(255)
    elif colours.dtype != np.uint8:
        colours = _to_uint8(colours, *(value_range or stretch_range(colours)))
    if is_zero_white:
        colours = 255 - colours
    if num_colours == 1:
        colours = cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_GRAY2RGB)
    return over_white(np.ascontiguousarray(colours), opacity, alpha == "premultiplied")


def over_white(colours: np.ndarray, opacity: np.ndarray | None, is_premultiplied: bool = False) -> np.ndarray:
    """RGB uint8 (H, W, 3) with opacity uint8 (H, W) as a white page shows it, changed in place.

    Without opacity, or where all is opaque, nothing changes; where every pixel is fully transparent the alpha channel
    is taken for a mistake of the writer and ignored.
    """
    if opacity is None or opacity.min() == 255 or opacity.max() == 0:
        return colours
    for rows in strips(colours):
        part = opacity[rows, :, None].astype(np.uint16)
        strip = colours[rows]
        if is_premultiplied:
            strip[:] = np.minimum(strip + (255 - part), 255)
        else:
            strip[:] = (strip * part + 255 * (255 - part) + 127) // 255
    return colours


def stretch_to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Scale numbers of any type to uint8 of the same shape: the 0.1 percentile becomes 0, the 99.9 percentile 255.

    Channels share one scale, so colours keep their hue. Where the percentiles coincide (few bright objects on an even
    ground) the smallest and largest value take their place; a constant image becomes black. NaN becomes 0; infinities
    become 0 or 255 and do not influence the scale.
    """
    if pixels.dtype == bool:
        pixels = pixels.view(np.uint8)
    return _to_uint8(pixels, *stretch_range(pixels))


def stretch_range(pixels: np.ndarray) -> ValueRange:
    """What `stretch_to_uint8` makes 0 and 255."""
    step = max(1, round((pixels.shape[0] * pixels.shape[1] / STRETCH_SAMPLE_PIXELS) ** 0.5)) if pixels.ndim > 1 else 1
    sample = _finite(pixels[::step, ::step] if step > 1 else pixels)
    if sample.dtype.kind == "f" or sample.dtype.itemsize > 4:  # percentiles of smaller whole numbers are exact as it is
        sample = sample.astype(np.float64, copy=False)
    low, high = np.percentile(sample, STRETCH_PERCENTILES) if sample.size else (0.0, 0.0)
    if high <= low:
        low, high = _range(pixels)
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _to_uint8(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    # Of the half, since the difference of two doubles can be beyond them.
    scale = 127.5 / (high / 2 - low / 2)
    out = np.empty(pixels.shape, np.uint8)
    for rows in strips(pixels):
        strip = (pixels[rows].astype(np.float64) - low) * scale
        out[rows] = np.rint(np.clip(np.nan_to_num(strip, nan=0.0, posinf=255.0, neginf=0.0), 0.0, 255.0))
    return out


def scale_to_uint8(pixels: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Numbers of any type to uint8 of the same shape: the range's ends become 0 and 255."""
    try:
        low, high = (float(end) for end in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not -np.inf < low < high < np.inf:
        raise ImageError(f"value_range: expected two numbers, the lower one first, got {value_range!r}")
    if pixels.dtype.kind not in "biuf":
        raise ImageError(f"expected an image of whole or floating point numbers, got {pixels.dtype}")
    out = np.empty(pixels.shape, np.uint8)
    for rows in strips(pixels):
        strip = (pixels[rows].astype(np.float64) - low) * (255.0 / (high - low))
        if np.isnan(strip).any():
            raise ImageError("expected an image of numbers, got one with NaN in it")
        out[rows] = np.rint(np.clip(strip, 0.0, 255.0))
    return out


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels upright, a view. EXIF numbers 1-8: what stored row 0 and column 0 are in the scene."""
    if orientation in (5, 6, 7, 8):  # stored rows are columns of the scene
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def strips(pixels: np.ndarray) -> Iterator[slice]:
    """Slices of rows that hold at most `STRIP_NUMBERS`, or one row."""
    rows = max(1, STRIP_NUMBERS * len(pixels) // max(pixels.size, 1))
    return (slice(row, row + rows) for row in range(0, len(pixels), rows))


def _is_grey(numbers: np.ndarray) -> bool:
    return all(np.array_equal(numbers[rows, :, 0], numbers[rows, :, i]) for rows in strips(numbers) for i in (1, 2))


def _opacity(alpha: np.ndarray) -> np.ndarray:
    """uint8, 255 for opaque."""
    if alpha.dtype == np.uint8:
        return alpha
    opaque = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "iu" else 1.0
    out = np.empty(alpha.shape, np.uint8)
    for rows in strips(alpha):
        strip = np.nan_to_num(alpha[rows].astype(np.float64) * (255.0 / opaque))
        out[rows] = np.rint(np.clip(strip, 0, 255))
    return out


def _range(pixels: np.ndarray) -> tuple[float, float]:
    """The smallest and largest finite number; 0, 0 where there is none."""
    ends = []
    for rows in strips(pixels):
        strip = _finite(pixels[rows])
        if strip.size:
            ends.append((float(strip.min()), float(strip.max())))
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0.0, 0.0)


def _finite(pixels: np.ndarray) -> np.ndarray:
    return pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
