"""Masks as outlines in the words of SVG, and results as a small picture of outlines."""

import html
from collections.abc import Sequence

import cv2
import numpy as np

SIDE_PX = 480
"""Of the longer side of a picture."""
MAX_OUTLINES = 1000
"""In it; more would hide one another."""

Crop = tuple[int, int, np.ndarray]
"""x0, y0 and bool bitmap (h, w)."""


def svg_path(crop: Crop, scale: float) -> str:
    """The outline of a mask times `scale`, through the middle of its outer pixels; "" for an empty one.

    It is simplified by at most half a pixel of the scaled picture.
    """
    x0, y0, bitmap = crop
    if not bitmap.size:
        return ""
    contours, _ = cv2.findContours(bitmap.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = []
    for contour in contours:
        points = (cv2.approxPolyDP(contour, 0.5 / scale, True)[:, 0] + (x0 + 0.5, y0 + 0.5)) * scale
        numbers = (f"{value:.1f}".removesuffix(".0") for value in points.ravel().tolist())
        rings.append(f"M{' '.join(numbers)}z")
    return "".join(rings)


def outlines_svg(
    image_size: tuple[int, int], crops: Sequence[Crop], labels: Sequence[int], names: Sequence[str]
) -> str:
    """A picture of the frame of an image, (height, width), with the first `MAX_OUTLINES` masks in it.

    The class, as in `labels`, decides on the colour; pointing at an object shows its text in `names`.
    """
    height, width = image_size
    scale = min(1.0, SIDE_PX / max(height, width, 1))
    shape = f'viewBox="0 0 {width * scale:g} {height * scale:g}" width="{width * scale:g}" height="{height * scale:g}"'
    rows = list(zip(crops, labels, names, strict=True))[:MAX_OUTLINES]
    paths = []
    for crop, label, name in rows:
        color = f"hsl({label * 137 % 360} 90% 60%)"
        look = f'stroke="{color}" fill="{color}" fill-opacity=".25" fill-rule="evenodd"'
        paths.append(f'<path d="{svg_path(crop, scale)}" {look}><title>{html.escape(name)}</title></path>')
    background = '<rect width="100%" height="100%" fill="#111"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {shape}>{background}{"".join(paths)}</svg>'
