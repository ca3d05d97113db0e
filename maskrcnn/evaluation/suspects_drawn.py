"""A suspect as somebody should see it: the place as it is, and beside it what was annotated and what was found."""

from collections.abc import Sequence

import cv2
import numpy as np

from maskrcnn.evaluation.errors_drawn import BRIGHT_LEVEL, draw_outline, rings_of
from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.evaluation.suspects import Suspect
from maskrcnn.report.text import Color
from maskrcnn.structures.instances import Instances

SIDE_PX = 260
"""Of each of the two pictures."""
AROUND = 0.7
"""How much of the surroundings is shown on every side, in longer sides of the box."""
MIN_AROUND_PX = 12
_GAP_PX = 6
_STRETCH = (0.5, 99.5)  # percentiles of a crop that become black and white: dim objects are seen
_PAPER: Color = (128, 128, 128)
_COLORS: dict[str, tuple[Color, Color]] = {  # on a dark picture, on a bright one
    "other": ((150, 150, 150), (110, 110, 110)),
    "annotated": ((255, 165, 40), (200, 85, 0)),
    "found": ((60, 220, 255), (0, 80, 215)),
}

LEGEND = (
    "Each place twice, with its contrast stretched: as it is, and with outlines. Orange: what was annotated. Blue: "
    "what the model found. Thin grey: other annotations."
)


def draw_suspect(image: np.ndarray, suspect: Suspect, truth: GroundTruth, instances: Instances) -> np.ndarray:
    """The surroundings of `suspect` in `image`, RGB uint8 (H, W, 3), without and with outlines, (SIDE_PX, w, 3).

    `truth` and `instances` are those of its image, as `rank_suspects` got them.
    """
    x0, y0, x1, y1 = _surroundings(suspect.box, (image.shape[0], image.shape[1]))
    crop = image[y0:y1, x0:x1]
    scale = SIDE_PX / max(crop.shape[:2])
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    plain = cv2.resize(_stretched(crop), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    drawn = plain.copy()
    colors = {name: pair[int(plain.mean() > BRIGHT_LEVEL)] for name, pair in _COLORS.items()}

    def add(rles: Sequence, color: Color, thickness: int) -> None:
        for rle in rles:
            draw_outline(drawn, rings_of(rle, scale, (x0, y0)), color, thickness)

    near = _reaching(truth.boxes_xywh, (x0, y0, x1, y1))
    add([truth.rles[g] for g in near if g != suspect.annotation], colors["other"], 1)
    if suspect.annotation >= 0:
        add([truth.rles[suspect.annotation]], colors["annotated"], 2)
    found = instances.rles()
    add([found[d] for d in suspect.found], colors["found"], 2)
    gap = np.full((drawn.shape[0], _GAP_PX, 3), _PAPER, np.uint8)
    return np.concatenate([plain, gap, drawn], axis=1)


def _surroundings(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of a square around the box, cut at the borders of an image of (height, width)."""
    longer = max(box[2] - box[0], box[3] - box[1], 1.0)
    half = longer / 2 + max(AROUND * longer, MIN_AROUND_PX)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    x0, y0 = (int(np.clip(middle - half, 0, side - 1)) for middle, side in ((x, size[1]), (y, size[0])))
    x1, y1 = (int(np.ceil(min(middle + half, side))) for middle, side in ((x, size[1]), (y, size[0])))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _reaching(boxes_xywh: np.ndarray, window: Sequence[int]) -> list[int]:
    x0, y0, x1, y1 = window
    left, top, width, height = boxes_xywh.reshape(-1, 4).T
    return np.flatnonzero((left < x1) & (top < y1) & (left + width > x0) & (top + height > y0)).tolist()


def _stretched(crop: np.ndarray) -> np.ndarray:
    low, high = np.percentile(crop, _STRETCH)
    if high - low < 1:
        return crop
    return np.clip((crop.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
