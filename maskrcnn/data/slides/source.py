"""A picture that is read by windows and never held whole: a slide.

C channels.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

Window = tuple[int, int, int, int]
"""y0 x0 y1 x1 in px of the picture; y1, x1 exclusive."""

SLIDE_PIXELS = 20_000_000
"""A picture of more is a slide: read by windows where its file allows that, and drawn as an overview. 5477 x 3652."""

BLOCK_PX = 2048
"""Side of what is read at once for an overview."""


@runtime_checkable
class Source(Protocol):
    """What a file, or anything else that can cut windows out of itself, has to offer.

    Windows lie inside the picture. Several threads ask for them, in any order, and they may overlap.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        ...

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometres, where the file says it."""
        ...

    def window(self, window: Window) -> np.ndarray:
        """RGB uint8 (h, w, 3) of a window, upright; numbers of more than 8 bits by one rule for the whole picture."""
        ...

    def numbers(self, window: Window) -> np.ndarray:
        """The window as it is stored, (h, w, C), neither stretched nor laid over white: what is measured."""
        ...

    def overview(self, longest_px: int) -> np.ndarray:
        """RGB uint8 (h, w, 3) of the whole picture, its longer side at most `longest_px`."""
        ...


class ArraySource:
    """A picture in memory as a source.

    Args:
        image: RGB uint8 (H, W, 3).
        numbers: as stored, (H, W, C); None takes those of `image`.
    """

    def __init__(
        self, image: np.ndarray, numbers: np.ndarray | None = None, pixel_size_um: tuple[float, float] | None = None
    ) -> None:
        self.image = image
        self.stored = image if numbers is None else numbers
        self.pixel_size_um = pixel_size_um

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]

    def window(self, window: Window) -> np.ndarray:
        y0, x0, y1, x1 = window
        return self.image[y0:y1, x0:x1]

    def numbers(self, window: Window) -> np.ndarray:
        y0, x0, y1, x1 = window
        return self.stored[y0:y1, x0:x1]

    def overview(self, longest_px: int) -> np.ndarray:
        return shrink(self.window, self.size, longest_px)


def shrink(cut: Callable[[Window], np.ndarray], size: tuple[int, int], longest_px: int) -> np.ndarray:
    """An overview of a picture of (height, width) from the windows that `cut` gives, a block after the other.

    Each pixel is the mean of its area; a picture that is small enough stays as it is.
    """
    scale = min(1.0, longest_px / max(size))
    rows, columns = (np.linspace(0, side, max(1, round(side * scale)) + 1).round().astype(int) for side in size)
    out = np.empty((len(rows) - 1, len(columns) - 1, 3), np.uint8)
    step = max(1, round(BLOCK_PX * scale))
    for y in range(0, out.shape[0], step):
        for x in range(0, out.shape[1], step):
            place = out[y : y + step, x : x + step]
            bottom, right = rows[y + place.shape[0]], columns[x + place.shape[1]]
            block = cut((int(rows[y]), int(columns[x]), int(bottom), int(right)))
            place[:] = cv2.resize(block, (place.shape[1], place.shape[0]), interpolation=cv2.INTER_AREA)
    return out
