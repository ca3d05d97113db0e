"""What is said about the default weights: a number of nuclei in a photograph is no count."""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from maskrcnn.data.images import read_image
from maskrcnn.untrusted.names import printable

DEFAULT_IS_FOR = (
    "the default model finds cell nuclei in micrographs; its counts in any other image mean nothing. For everyday "
    "photographs use --weights coco"
)
NUM_LOOKED_AT = 5
"""Images of a job that are read again and judged by their colours."""
SIDE_PX = 256
CHROMA = 20
"""Difference of the largest and the smallest of red, green and blue from which a pixel counts as coloured."""
STAINS = (230, 350)
"""Hues in degrees, blue-violet to pink, of the stained tissue that the nuclei model was trained on."""
MAX_OTHER_COLOURS = 0.1
"""Share of pixels of other hues; the training and validation micrographs have at most 0.08."""
DARK = 60
"""Median brightness below which colours are those of fluorescence on a dark background."""


def warn_of_photographs(files: Sequence[Path]) -> None:
    """A warning on stderr where images have other colours than the micrographs that the default model knows."""
    step = -(-len(files) // NUM_LOOKED_AT) or 1
    odd = [file for file in files[::step] if _is_like_a_photograph(file)]
    if odd:
        which = printable(str(odd[0])) + (f" and {len(odd) - 1} more" if len(odd) > 1 else "")
        are = "do not look like the micrographs" if len(odd) > 1 else "does not look like the micrographs"
        print(
            f"warning: {which} {are} that the default model was trained on (fluorescence, purple-stained tissue), so "
            "what it counted there is probably not nuclei; for everyday photographs use --weights coco",
            file=sys.stderr,
        )


def _is_like_a_photograph(file: Path) -> bool:
    try:
        image = read_image(file, page=0, planes="max")  # which says nothing of other pages: the job has
    except (OSError, ValueError, RuntimeError, MemoryError):
        return False  # the job has said what is wrong with it
    return has_other_colours(image)


def has_other_colours(image: np.ndarray) -> bool:
    """Whether an RGB uint8 (H, W, 3) has colours that micrographs of stained or fluorescent nuclei do not have."""
    factor = min(1.0, SIDE_PX / max(image.shape[:2]))
    size_wh = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    brightest, chroma = small.max(axis=2), np.ptp(small, axis=2)
    hue = 2 * cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[..., 0].astype(int)  # OpenCV's half degrees
    is_other = (chroma > CHROMA) & ((hue < STAINS[0]) | (hue > STAINS[1]))
    return bool(np.median(brightest) >= DARK and is_other.mean() > MAX_OTHER_COLOURS)
