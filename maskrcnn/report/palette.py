"""Choose colours that stand out from the picture and tell neighbours apart."""

import cv2
import numpy as np

# Red, green, blue, yellow, magenta, teal, orange, violet, lime, sky, pink, brown: the first few differ the most.
BRIGHT = [
    *((255, 80, 80), (40, 230, 90), (90, 140, 255), (255, 235, 60), (240, 95, 255), (30, 235, 185)),
    *((255, 165, 40), (175, 130, 255), (165, 240, 30), (40, 200, 255), (255, 110, 175), (255, 195, 160)),
]
_DARK = [
    *((205, 0, 0), (0, 125, 50), (30, 50, 210), (140, 105, 0), (165, 0, 175), (0, 125, 120)),
    *((200, 85, 0), (100, 30, 195), (70, 120, 0), (0, 100, 190), (205, 0, 105), (110, 60, 30)),
]
_BRIGHT_PICTURE = 150  # mean grey level from which dark colours are easier to see than bright ones
_NEAR = 0.25  # boxes are neighbours if they meet once each has grown by this share of its size on every side


def palette_for(image: np.ndarray) -> np.ndarray:
    """Colours, uint8 (P, 3), that are seen well on the RGB uint8 picture (H, W, 3): bright on dark, dark on bright."""
    step = max(1, max(image.shape[:2]) // 256)
    return np.array(_DARK if image[::step, ::step].mean() > _BRIGHT_PICTURE else BRIGHT, np.uint8)


def spread_colors(boxes: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Index into `palette`, int64 (N,), for each of the boxes (N, 4), x0 y0 x1 y1, so that neighbours look different.

    One after the other each box takes the colour that is farthest from those of its neighbours, to the eye (CIE Lab).
    """
    lab = cv2.cvtColor(palette[None].astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab)[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2)  # (P, P)
    margin = _NEAR * np.sqrt(np.clip((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0, None)) + 1.0
    x0, y0, x1, y1 = boxes[:, 0] - margin, boxes[:, 1] - margin, boxes[:, 2] + margin, boxes[:, 3] + margin

    # Sorted by left border, the boxes that reach a box's left border from before it are found without all the pairs.
    order = np.argsort(x0, kind="stable")
    x0, y0, x1, y1 = x0[order], y0[order], x1[order], y1[order]
    widest = float((x1 - x0).max()) if len(boxes) else 0.0
    chosen = np.zeros(len(boxes), np.int64)
    used = np.zeros(len(palette))
    for i in range(len(boxes)):
        first = int(np.searchsorted(x0, x0[i] - widest))
        near = (x1[first:i] >= x0[i]) & (y1[first:i] >= y0[i]) & (y0[first:i] <= y1[i])
        neighbours = chosen[first:i][near]
        # Among colours that are nearly as good the one used least so far; a lone object has all to choose from.
        contrast = distance[:, neighbours].min(axis=1) if len(neighbours) else np.full(len(palette), 60.0)
        chosen[i] = np.argmax(np.minimum(contrast, 60.0) - 2.0 * (used - used.min()))
        used[chosen[i]] += 1
    result = np.empty_like(chosen)
    result[order] = chosen
    return result
