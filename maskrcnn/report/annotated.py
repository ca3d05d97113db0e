"""Annotations on their picture, as they are in the file, with those that something is wrong with standing out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from maskrcnn.report.palette import palette_for, spread_colors
from maskrcnn.report.text import Color, line_height, stamp, text_mask
from maskrcnn.structures.polygons import rle_to_polygons

SIDE_PX = 640  # of the longer side: several fit on a page, and letters can be read
OPACITY = 0.35
FONT_PX = 13
_MARK: Color = (255, 30, 30)
_SHIFT = 4  # OpenCV takes coordinates in 1 / 2^_SHIFT pixels
_FAR = 1 << 14  # ... and cannot take them far beyond a picture


@dataclass(frozen=True)
class Outline:
    """One annotation: its mask (a COCO RLE), or its polygons where they make no mask, and its box if it has one."""

    rle: Mapping[str, Any] | None = None
    polygons: Sequence[np.ndarray] = ()
    """(P, 2) float, x and y in pixels."""
    box: tuple[float, float, float, float] | None = None
    """x y width height, as in the file."""
    mark: str = ""
    """What is wrong with it; empty if nothing is."""


def draw_annotations(image: np.ndarray, outlines: Sequence[Outline]) -> np.ndarray:
    """Return `image`, RGB uint8 (H, W, 3), with longer side `SIDE_PX` and the annotations on it.

    Masks are tinted and outlined, their boxes left out. A marked annotation is red, has its box, and its mark in words;
    beside marked ones the others are outlined only.
    """
    scale = SIDE_PX / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    rings = [_rings(outline, scale) for outline in outlines]
    boxes = np.array([_around(parts) for parts in rings]).reshape(-1, 4)
    palette = palette_for(image)
    colors = [tuple(color) for color in palette[spread_colors(boxes, palette)].tolist()]
    # Large ones first, so that small ones in front of them are seen.
    order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable").tolist()
    marked = [k for k in order if outlines[k].mark]
    for k in marked:
        colors[k] = _MARK
    tint = canvas.copy()
    for k in marked or order:
        cv2.fillPoly(tint, rings[k], colors[k], cv2.LINE_8, _SHIFT)
    canvas = cv2.addWeighted(tint, OPACITY, canvas, 1 - OPACITY, 0)
    for k in [*(k for k in order if not outlines[k].mark), *marked]:
        cv2.polylines(canvas, rings[k], True, colors[k], 2 if outlines[k].mark else 1, cv2.LINE_AA, _SHIFT)
    for k in marked:
        _draw_mark(canvas, outlines[k], boxes[k], scale)
    return canvas


def _rings(outline: Outline, scale: float) -> list[np.ndarray]:
    """Outlines and holes as OpenCV takes them."""
    rings = list(outline.polygons)
    if outline.rle is not None:
        rings = [ring for part in rle_to_polygons(outline.rle) for ring in (part["exterior"], *part["holes"])]
    return [_fixed_point(ring, scale) for ring in rings if len(ring)]


def _fixed_point(points: np.ndarray, scale: float) -> np.ndarray:
    # OpenCV's coordinates are those of pixel centres, half a pixel less than those of edges.
    pixels = np.clip(np.asarray(points, np.float64) * scale - 0.5, -_FAR, _FAR)
    return np.rint(pixels * (1 << _SHIFT)).astype(np.int32)


def _around(rings: list[np.ndarray]) -> list[float]:
    if not rings:
        return [0.0] * 4
    points = np.concatenate(rings) / (1 << _SHIFT)
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def _draw_mark(canvas: np.ndarray, outline: Outline, around: np.ndarray, scale: float) -> None:
    """The box, and the mark in words beside it."""
    x0, y0, _, y1 = around.tolist()
    if outline.box is not None:
        x, y, w, h = outline.box
        corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        cv2.polylines(canvas, [_fixed_point(corners, scale)], True, _MARK, 2, cv2.LINE_AA, _SHIFT)
        x0, y0, y1 = (number * scale for number in (min(x, x + w), min(y, y + h), max(y, y + h)))
    words = text_mask(outline.mark, FONT_PX)
    left = round(min(max(0.0, x0), max(0, canvas.shape[1] - words.shape[1])))
    top = y0 - line_height(FONT_PX) if y0 >= line_height(FONT_PX) else y1
    top = round(min(max(0.0, top), max(0, canvas.shape[0] - words.shape[0])))
    stamp(canvas, words, left, top, (255, 255, 255), _MARK)
