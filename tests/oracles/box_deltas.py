"""Box coding one box at a time, in Python numbers, as arXiv:1506.01497 writes it."""

import math

from tests.oracles.box_iou import Box

LIMIT = math.log(1000 / 16)


def encode(box: Box, reference: Box, weights: list[float]) -> list[float]:
    x, y, w, h = centre_form(box)
    xa, ya, wa, ha = centre_form(reference)
    wx, wy, ww, wh = weights
    return [wx * (x - xa) / wa, wy * (y - ya) / ha, ww * math.log(w / wa), wh * math.log(h / ha)]


def decode(deltas: list[float], reference: Box, weights: list[float], clamp: str) -> Box:
    xa, ya, wa, ha = centre_form(reference)
    dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas, weights, strict=True))
    if clamp in ("max", "both"):
        dw, dh = min(dw, LIMIT), min(dh, LIMIT)
    if clamp == "both":
        dw, dh = max(dw, -LIMIT), max(dh, -LIMIT)
    x, y, w, h = xa + dx * wa, ya + dy * ha, wa * math.exp(dw), ha * math.exp(dh)
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def centre_form(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
