"""Draw the objects of a frame in colours that stay with them, where they came from, and lines and zones with counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from maskrcnn.report.draw import INK, draw_mask, font_size, legend_panel, put_legend
from maskrcnn.report.palette import BRIGHT
from maskrcnn.report.text import Color, shorten, stamp, text_mask
from maskrcnn.structures.instances import Instances

LINE: Color = (255, 235, 60)
ZONE: Color = (40, 200, 255)
ZONE_OPACITY = 0.15
MIN_SIDE_FOR_NUMBER = 14.0
"""px: smaller objects have no room for a number."""


@dataclass(frozen=True, eq=False)
class DrawnLine:
    """A line and what has crossed it so far."""

    name: str
    points: np.ndarray
    """(2, 2) x, y."""
    num_in: int
    num_out: int


@dataclass(frozen=True, eq=False)
class DrawnZone:
    """A zone and what is in it."""

    name: str
    rings: tuple[np.ndarray, ...]
    present: int
    entered: int


def track_color(track: int) -> Color:
    """The colour of a track, the same in every frame."""
    return BRIGHT[(track * 5) % len(BRIGHT)]  # neighbours in number differ much


def draw_tracks(
    image: np.ndarray,
    instances: Instances,
    track_ids: np.ndarray,
    *,
    trails: Mapping[int, np.ndarray] | None = None,
    lines: Sequence[DrawnLine] = (),
    zones: Sequence[DrawnZone] = (),
    counts: Sequence[str] = (),
) -> np.ndarray:
    """A new picture, RGB uint8 (H, W, 3): `image` with the masks, numbers and trails of the tracks in it.

    Args:
        track_ids: (N,) the number of each object.
        trails: by track the places x, y (P, 2) where it was, the newest last.
        counts: a line of words each, in the corner at the left top.

    Raises:
        ValueError: an image that is not (H, W, 3) uint8, or not of the size that the instances belong to.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape != (*instances.image_size, 3):
        expected = f"({instances.image_size[0]}, {instances.image_size[1]}, 3) uint8"
        raise ValueError(f"expected an image {expected}, as the instances have, got {image.shape} {image.dtype}")
    canvas = image.copy()
    font_px = font_size(canvas.shape[:2])
    thickness = max(1, round(max(canvas.shape[:2]) / 700))
    for zone in zones:
        _draw_zone(canvas, zone, font_px, thickness)
    crops = instances.crops()
    for (x0, y0, bitmap), track in zip(crops, track_ids.tolist(), strict=True):
        draw_mask(canvas, x0, y0, bitmap, track_color(track), thickness)
    for track, places in (trails or {}).items():
        if len(places) > 1:
            points = np.rint(8 * places - 4).astype(np.int32)  # in eighths of a pixel, whose middle is 0 to OpenCV
            cv2.polylines(canvas, [points], False, track_color(track), thickness, cv2.LINE_AA, 3)
    for (x0, y0, bitmap), track in zip(crops, track_ids.tolist(), strict=True):
        height, width = bitmap.shape
        letters = number_letters(track, max(10, round(0.8 * font_px)))
        if min(height, width) >= MIN_SIDE_FOR_NUMBER and letters.shape[1] <= 1.5 * width:
            color = track_color(track)
            x, y = x0 + (width - letters.shape[1]) // 2, y0 + (height - letters.shape[0]) // 2
            stamp(canvas, letters, x, y, (0, 0, 0), color)
    for line in lines:
        _draw_line(canvas, line, font_px, thickness)
    if counts:
        panel = legend_panel(canvas, font_px, [(shorten(words, 60), INK, None) for words in counts])
        if panel is not None:
            put_legend(canvas, panel, (0, 0, panel.shape[1], panel.shape[0]))
    return canvas


@lru_cache(maxsize=4096)
def number_letters(number: int, size_px: int) -> np.ndarray:
    """Letters of a number; the same are written in every frame."""
    return text_mask(str(number), size_px)


@lru_cache(maxsize=512)
def _letters(words: str, size_px: int) -> np.ndarray:
    return text_mask(words, size_px)


def _draw_zone(canvas: np.ndarray, zone: DrawnZone, font_px: int, thickness: int) -> None:
    rings = [np.rint(ring).astype(np.int32) for ring in zone.rings]
    corner = np.clip(np.concatenate(rings).min(axis=0), 0, None), np.concatenate(rings).max(axis=0) + 1
    (x0, y0), (x1, y1) = corner[0], np.minimum(corner[1], canvas.shape[1::-1])
    if x1 > x0 and y1 > y0:
        window = canvas[y0:y1, x0:x1]
        tinted = window.copy()
        cv2.fillPoly(tinted, [ring - corner[0] for ring in rings], ZONE)
        cv2.addWeighted(tinted, ZONE_OPACITY, window, 1 - ZONE_OPACITY, 0, dst=window)
    cv2.polylines(canvas, rings, True, ZONE, 2 * thickness, cv2.LINE_AA)
    words = f"{shorten(zone.name)}: {zone.present} now, {zone.entered} in all"
    _write(canvas, words, font_px, (int(x0) + 2 * thickness, int(y0) + 2 * thickness), ZONE)


def _draw_line(canvas: np.ndarray, line: DrawnLine, font_px: int, thickness: int) -> None:
    start, end = line.points
    ends = [(round(float(x)), round(float(y))) for x, y in (start, end)]
    cv2.line(canvas, ends[0], ends[1], LINE, 2 * thickness, cv2.LINE_AA)
    middle = (start + end) / 2
    way = (end - start) / np.linalg.norm(end - start)
    to_right = middle + 2 * font_px * np.array([-way[1], way[0]])  # an arrow to where "in" is
    tip = round(float(to_right[0])), round(float(to_right[1]))
    cv2.arrowedLine(canvas, (round(float(middle[0])), round(float(middle[1]))), tip, LINE, 2 * thickness, cv2.LINE_AA)
    _write(canvas, f"{shorten(line.name)}: {line.num_in} in, {line.num_out} out", font_px, ends[0], LINE)


def _write(canvas: np.ndarray, words: str, font_px: int, place: tuple[int, int], paper: Color) -> None:
    """Words at a place, moved into the picture where they would leave it."""
    letters = _letters(words, font_px)
    x = min(max(0, place[0]), max(0, canvas.shape[1] - letters.shape[1]))
    y = min(max(0, place[1]), max(0, canvas.shape[0] - letters.shape[0]))
    stamp(canvas, letters, x, y, (0, 0, 0), paper)
