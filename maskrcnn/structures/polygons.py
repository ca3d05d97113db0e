"""Outlines of a mask along the edges of its pixels: every part, with its holes.

P vertices of a ring, (x, y) in pixels; pixel (x, y) covers x..x+1, y..y+1.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import cv2
import numpy as np

from maskrcnn.structures.rle import crop

_MAX_PAIRS = 1 << 20


class Polygon(TypedDict):
    exterior: np.ndarray
    holes: list[np.ndarray]


def rle_to_polygons(rle: Mapping[str, Any]) -> list[Polygon]:
    """The parts of a mask: {"exterior": (P, 2) float64, "holes": [(P, 2) float64, ...]}; [] for an empty mask.

    Rings are open (the first vertex is not repeated) and simple, counter-clockwise on the screen for an exterior and
    clockwise for a hole. Filling them gives back exactly the mask. Pixels that touch only at a corner are separate
    parts, so that no ring touches itself.
    """
    x0, y0, bitmap = crop(rle)
    if not bitmap.size:
        return []
    num_labels, labels, stats, _ = cv2.connectedComponentsWithStats(bitmap.astype(np.uint8), connectivity=4)
    polygons = []
    for label in range(1, num_labels):
        left, top, width, height = stats[label, : cv2.CC_STAT_AREA].tolist()
        part = labels[top : top + height, left : left + width] == label
        polygons.append(_outline(part, np.array([x0 + left, y0 + top], np.float64)))
    return polygons


def _outline(part: np.ndarray, offset: np.ndarray) -> Polygon:
    # OpenCV's contours run through pixel centres and so lose half a pixel all around. With every pixel doubled, each
    # half pixel on a contour has one pixel corner as its neighbour, (i + 1) // 2, and the contour becomes exact.
    doubled = part.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [_without_collinear((contour[:, 0] + 1) // 2) + offset for contour in contours]
    is_hole = hierarchy[0, :, 3] >= 0
    (exterior,) = (ring for ring, hole in zip(rings, is_hole, strict=True) if not hole)
    return {"exterior": exterior, "holes": [ring for ring, hole in zip(rings, is_hole, strict=True) if hole]}


def one_ring(polygons: Sequence[Polygon]) -> np.ndarray:
    """All parts and holes as one ring (P, 2), by cuts of no width to and fro: for formats that know nothing else.

    Filled by any rule it covers what the polygons cover, and has their area. [] gives (0, 2).
    """
    rings = [ring for polygon in polygons for ring in (polygon["exterior"], *polygon["holes"]) if len(ring)]
    if not rings:
        return np.zeros((0, 2))
    joined, *others = rings
    for ring in others:
        step = max(1, len(joined) * len(ring) // _MAX_PAIRS)  # a cut need not be the shortest
        every = np.arange(0, len(joined), step)
        distance = ((joined[every][:, None] - ring[None]) ** 2).sum(axis=2)
        i, j = np.unravel_index(int(distance.argmin()), distance.shape)
        i = int(every[i])
        joined = np.concatenate([joined[: i + 1], ring[j:], ring[: j + 1], joined[i:]])
    return joined


def _without_collinear(ring: np.ndarray) -> np.ndarray:
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
