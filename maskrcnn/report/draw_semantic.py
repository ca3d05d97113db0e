"""Draw semantic maps: every class in its colour, alone or over the picture, with a legend that says the shares.

K classes.
"""

from dataclasses import replace

import cv2
import numpy as np

from maskrcnn.report.draw import (
    INK,
    WARNING,
    figure_scale,
    font_size,
    legend_corner,
    legend_panel,
    put_legend,
)
from maskrcnn.report.text import Color, page_above_strip, shorten
from maskrcnn.structures.semantic_map import SemanticMap

OPACITY = 0.55
_WRONG: Color = (220, 30, 30)
_GAP_PX = 4
_DIMMEST = 150
"""Of a legend's square on a dark ground: black has a grey one."""
_LEGEND_ENTRIES = 20
VOID_COLOR: Color = (224, 224, 192)
"""Of pixels of no class, as in the pictures of PASCAL VOC."""


def color_map(found: SemanticMap) -> np.ndarray:
    """RGB uint8 (H, W, 3): every pixel in the colour of its class."""
    table = np.full((found.void + 1, 3), VOID_COLOR, np.uint8)
    table[: len(found.colors)] = found.colors
    return table[found.class_idx]


def draw_semantic(
    image: np.ndarray, found: SemanticMap, *, opacity: float = OPACITY, legend: bool = True
) -> np.ndarray:
    """A new RGB uint8 (H, W, 3) picture: `image` tinted by class, each region with a rim, the background as it is.

    `opacity` 0..1 is that of the tint. `legend` names the classes that are there and their share of the pixels.

    Raises:
        ValueError: an image that is not (H, W, 3) uint8, or not of the size of the map; an opacity out of range.
    """
    _check(image, found, opacity)
    canvas = np.empty_like(image)
    _draw_on(canvas, image, found, opacity)
    if legend:
        font_px = font_size(image.shape[:2])
        panel = legend_panel(canvas, font_px, legend_entries(found))
        if panel is not None:
            put_legend(canvas, panel, legend_corner(canvas, panel, _boxes(found)))
    return canvas


def draw_true_and_found(image: np.ndarray, true: SemanticMap, found: SemanticMap) -> np.ndarray:
    """The image, the true map, the predicted one, and the image with what is wrong in red, side by side: RGB uint8.

    Pixels without a true class are in `VOID_COLOR` in both maps.

    Raises:
        ValueError: an image that is not (H, W, 3) uint8, or maps of other sizes or classes.
    """
    _check(image, found, 0.0)
    if (true.image_size, true.class_names) != (found.image_size, found.class_names):
        raise ValueError(f"expected a true map of {found.image_size} and its classes, got one of {true.image_size}")
    is_open = true.class_idx == true.void
    predicted = color_map(found)
    predicted[is_open] = VOID_COLOR
    wrong = image // 2 + 60
    wrong[(true.class_idx != found.class_idx) & ~is_open] = _WRONG
    gap = np.full((image.shape[0], _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([image, gap, color_map(true), gap, predicted, gap, wrong], axis=1)


def semantic_figure(image: np.ndarray, found: SemanticMap, *, opacity: float = OPACITY) -> np.ndarray:
    """The overlay for a file or a page, RGB uint8: enlarged by `figure_scale`, above a strip with the legend."""
    _check(image, found, opacity)
    scale = figure_scale(image.shape[:2])
    height, width = scale * image.shape[0], scale * image.shape[1]
    lines = [legend_entries(found), *([(word, WARNING, None) for word in note.split()] for note in found.notes)]
    page, canvas = page_above_strip((height, width), lines, max(12, round(1.2 * font_size((height, width)))))
    if scale > 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        found = replace(found, class_idx=found.class_idx.repeat(scale, axis=0).repeat(scale, axis=1))
    _draw_on(canvas, image, found, opacity)
    return page


def legend_entries(found: SemanticMap) -> list[tuple[str, Color, Color | None]]:
    """Name and share of each class that is there, the largest first, with its colour."""
    shares = found.shares
    order = [k for k in np.argsort(-shares, kind="stable").tolist() if shares[k]]
    entries: list[tuple[str, Color, Color | None]] = [
        (f"{shorten(found.class_names[k])} {shares[k]:.1%}", INK, _square(found.colors[k].tolist()))
        for k in order[:_LEGEND_ENTRIES]
    ]
    if len(order) > _LEGEND_ENTRIES:
        entries.append((f"and {len(order) - _LEGEND_ENTRIES} more classes", INK, None))
    return entries or [("no class", INK, None)]


def _square(color: list[int]) -> Color:
    r, g, b = color if any(color) else [_DIMMEST // 2] * 3
    return r, g, b


def _check(image: np.ndarray, found: SemanticMap, opacity: float) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}")
    if image.shape[:2] != found.image_size:
        raise ValueError(f"expected an image of {found.image_size}, as the map has, got {image.shape[:2]}")
    if not 0 <= opacity <= 1:
        raise ValueError(f"expected an opacity of 0 to 1, got {opacity}")


def _draw_on(canvas: np.ndarray, image: np.ndarray, found: SemanticMap, opacity: float) -> None:
    flat = color_map(found)
    cv2.addWeighted(flat, opacity, image, 1.0 - opacity, 0.0, dst=canvas)
    idx = found.class_idx
    is_rim = np.zeros(idx.shape, bool)
    is_rim[:, 1:] |= idx[:, 1:] != idx[:, :-1]
    is_rim[:, :-1] |= idx[:, 1:] != idx[:, :-1]
    is_rim[1:] |= idx[1:] != idx[:-1]
    is_rim[:-1] |= idx[1:] != idx[:-1]
    if opacity:
        cv2.copyTo(flat, is_rim.view(np.uint8), canvas)
    if found.background is not None:
        cv2.copyTo(image, (idx == found.background).view(np.uint8), canvas)


def _boxes(found: SemanticMap) -> np.ndarray:
    """Boxes (n, 4) around the classes that a legend should not cover: all but the background, or the largest class."""
    skipped = int(found.pixels.argmax()) if found.background is None else found.background
    boxes = []
    for k in np.flatnonzero(found.pixels).tolist():
        if k != skipped:
            x, y, w, h = cv2.boundingRect((found.class_idx == k).view(np.uint8))
            boxes.append((x, y, x + w, y + h))
    return np.array(boxes, np.float64).reshape(-1, 4)
