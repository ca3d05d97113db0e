"""Draw a scene on its picture: each segment tinted and outlined, its class written in it, counts and shares below."""

import cv2
import numpy as np

from maskrcnn.report.draw import FONT_SHARE, STRIP_FONT_SHARE, figure_scale
from maskrcnn.report.export.coco_panoptic import segment_boxes
from maskrcnn.report.labels import MIN_FONT_PX
from maskrcnn.report.palette import palette_for, spread_colors
from maskrcnn.report.text import Color, shorten, stamp, text_block, text_mask
from maskrcnn.structures.panoptic import Panoptic, Segment

THING_OPACITY, STUFF_OPACITY = 0.45, 0.35
STUFF_CHROMA, STUFF_LIGHTNESS = 45.0, 62.0
"""Of the colours of stuff (CIE Lab): pale beside those of things, which are to be seen first."""
DARK = 0.35
"""The ground of a name is the colour of its segment, times this."""
MIN_STUFF_SHARE = 0.005
"""Of the picture, that a kind of stuff must cover to be listed."""
_PANEL: Color = (24, 24, 24)
_INK: Color = (240, 240, 240)
_EDGE: Color = (255, 255, 255)


def draw_panoptic(image: np.ndarray, scene: Panoptic, *, scale: int = 1, labels: bool = True) -> np.ndarray:
    """Return a new RGB uint8 picture, (scale * H, scale * W, 3): `image`, RGB uint8 (H, W, 3), with `scene` on it.

    Things have the bright colours of instances, neighbours different ones; a kind of stuff has the same pale colour in
    every picture. A class is written in each segment that has room for it. Pixels of no segment stay as they are.

    Raises:
        ValueError: an image that is not (H, W, 3) uint8, or not of the size of the scene.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}")
    if image.shape[:2] != scene.image_size:
        raise ValueError(f"expected an image of {scene.image_size}, as the scene has, got {image.shape[:2]}")
    size_wh = scale * image.shape[1], scale * image.shape[0]
    canvas = image.copy() if scale == 1 else cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    ids = scene.ids.repeat(scale, axis=0).repeat(scale, axis=1)
    colors = _colors(image, scene)
    place = np.zeros(int(ids.max(initial=0)) + 1, np.int64)  # of a segment id in the tables below, 0 for none
    table = np.zeros((len(scene.segments) + 1, 3), np.float32)
    opacity = np.zeros((len(scene.segments) + 1, 1), np.float32)
    for number, (segment, color) in enumerate(zip(scene.segments, colors, strict=True), start=1):
        if segment.id < len(place):
            place[segment.id] = number
            table[number], opacity[number] = color, THING_OPACITY if segment.is_thing else STUFF_OPACITY
    for top in range(0, len(canvas), 256):  # in bands: a large picture as floats would take gigabytes
        rows = place[ids[top : top + 256]]
        alpha = opacity[rows]
        canvas[top : top + 256] = np.rint(canvas[top : top + 256] * (1 - alpha) + table[rows] * alpha).astype(np.uint8)
    edges = np.zeros(ids.shape, bool)
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edges[1:] |= ids[1:] != ids[:-1]
    width = max(1, round(max(ids.shape) / 900))
    if width > 1:
        edges = cv2.dilate(edges.astype(np.uint8), np.ones((width, width), np.uint8)) > 0
    canvas[edges] = _EDGE
    if labels:
        _write_names(canvas, ids, scene, colors)
    return canvas


def panoptic_figure(image: np.ndarray, scene: Panoptic) -> np.ndarray:
    """`draw_panoptic`, enlarged for a file or a page, above a strip with the numbers of things and shares of stuff."""
    scale = figure_scale(image.shape[:2])
    drawn = draw_panoptic(image, scene, scale=scale)
    font_px = max(12, round(1.2 * _font_px(drawn.shape[:2])))
    blocks = [text_block(words, font_px, max(drawn.shape[1], 12 * font_px), _PANEL) for words in _strip(scene) if words]
    rows = [drawn, *blocks]
    width = max(row.shape[1] for row in rows)
    page = np.full((sum(len(row) for row in rows), width, 3), _PANEL, np.uint8)
    top = 0
    for row in rows:
        page[top : top + len(row), : row.shape[1]] = row
        top += len(row)
    return page


def stuff_color(label: int) -> Color:
    """Of a kind of stuff, whatever picture it is in: hues a golden angle apart, so that neighbours of a list differ."""
    angle = np.deg2rad(label * 137.508)
    lab = np.array([[[STUFF_LIGHTNESS, STUFF_CHROMA * np.cos(angle), STUFF_CHROMA * np.sin(angle)]]], np.float32)
    red, green, blue = np.rint(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)[0, 0] * 255).astype(int).tolist()
    return red, green, blue


def _font_px(size: tuple[int, ...]) -> int:
    return max(MIN_FONT_PX, round(min(FONT_SHARE * max(size), STRIP_FONT_SHARE * min(size))))


def _colors(image: np.ndarray, scene: Panoptic) -> list[Color]:
    things = [segment for segment in scene.segments if segment.is_thing]
    corners = np.array(segment_boxes(scene.ids, things), np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    palette = palette_for(image)
    bright = iter(palette[spread_colors(corners, palette)].tolist())
    return [tuple(next(bright)) if segment.is_thing else stuff_color(segment.label) for segment in scene.segments]


def _write_names(canvas: np.ndarray, ids: np.ndarray, scene: Panoptic, colors: list[Color]) -> None:
    """Each class at the place of its segment that is farthest from the rim, where it fits in there."""
    font_px = _font_px(canvas.shape[:2])
    scale = ids.shape[0] // max(scene.ids.shape[0], 1)
    for segment, color, (x, y, w, h) in zip(
        scene.segments, colors, segment_boxes(scene.ids, scene.segments), strict=True
    ):
        mask = text_mask(shorten(_label(scene, segment)), font_px)
        x, y, w, h = x * scale, y * scale, w * scale, h * scale
        if mask.shape[1] > w or mask.shape[0] > h:
            continue
        inside = np.pad((ids[y : y + h, x : x + w] == segment.id).astype(np.uint8), 1)  # the rim of its box counts
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        row, column = np.unravel_index(int(distance.argmax()), distance.shape)
        if distance[row, column] * 2 < mask.shape[0]:
            continue
        left = int(np.clip(x + column - mask.shape[1] // 2, 0, max(canvas.shape[1] - mask.shape[1], 0)))
        top = int(np.clip(y + row - mask.shape[0] // 2, 0, max(canvas.shape[0] - mask.shape[0], 0)))
        red, green, blue = (int(part * DARK) for part in color)
        stamp(canvas, mask, left, top, _INK, (red, green, blue))


def _label(scene: Panoptic, segment: Segment) -> str:
    name = scene.name_of(segment)
    return name if segment.score is None else f"{name} {segment.score:.2f}"


def _strip(scene: Panoptic) -> list[list[tuple[str, Color, Color | None]]]:
    counts = sorted(((n, name) for name, n in scene.counts().items() if n), key=lambda pair: -pair[0])
    total = sum(n for n, _ in counts)
    things: list[tuple[str, Color, Color | None]] = [(f"{total} thing{'s' * (total != 1)}", _INK, None)]
    things += [(f"{shorten(name)}: {n}", _INK, None) for n, name in counts]
    shares = sorted(enumerate(scene.stuff_shares().items()), key=lambda item: -item[1][1])
    stuff: list[tuple[str, Color, Color | None]] = [
        (f"{shorten(name)}: {share:.0%}", _INK, stuff_color(label))
        for label, (name, share) in shares
        if share >= MIN_STUFF_SHARE
    ]
    return [things, stuff]
