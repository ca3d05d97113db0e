"""Edges of grey levels, and what they enclose."""

from typing import Literal

import cv2
import numpy as np

EdgeFilter = Literal["sobel", "sobel_h", "sobel_v", "laplacian", "canny"]
"""`sobel_h` shows horizontal edges, `sobel_v` vertical ones, `sobel` both."""
CANNY_RATIO = 0.5
"""Lower threshold over the upper one; Canny recommends 1:2 to 1:3 (IEEE Trans. PAMI 8, 1986)."""


def edge_strength(grey: np.ndarray, edge_filter: EdgeFilter) -> np.ndarray:
    """How strong the edge at each pixel of grey levels uint8 (H, W) is: uint8, 255 for the strongest.

    For "canny" it is 255 at an edge and 0 elsewhere; its upper threshold is Otsu's of Sobel's strength.
    """
    if edge_filter == "laplacian":
        return _to_uint8(np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=3)))
    along_x, along_y = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3)
    if edge_filter == "sobel_h":
        return _to_uint8(np.abs(along_y))
    if edge_filter == "sobel_v":
        return _to_uint8(np.abs(along_x))
    strength = cv2.magnitude(along_x, along_y)
    if edge_filter == "sobel":
        return _to_uint8(strength)
    highest = float(strength.max())
    upper = _otsu(_to_uint8(strength)) * highest / 255
    return cv2.Canny(grey, CANNY_RATIO * upper, max(upper, 1.0), L2gradient=True)


def enclosed(strength: np.ndarray, *, gap_px: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Regions uint8 (H, W), 1 inside closed contours, and the edges uint8 (H, W) 0 or 1 that they come from.

    Edges are where `strength` is above Otsu's threshold of it. Gaps of up to about `gap_px` are closed, 0 closes none.
    A region ends in the middle of its edge: at pixels as far from what is inside as from what is outside. So an edge
    that encloses nothing is no region.
    """
    edges = (strength > _otsu(strength)).astype(np.uint8)
    closed = edges
    if gap_px:
        side = gap_px | 1
        square = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
        framed = cv2.copyMakeBorder(edges, side, side, side, side, cv2.BORDER_CONSTANT, value=0)
        closed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, square)[side:-side, side:-side].copy()
    filled = fill_holes(closed)
    inside = filled & (1 - closed)
    if not inside.any():
        return inside, edges
    framed = np.pad(filled, 1)
    to_outside = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
    to_inside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return filled & (to_inside <= to_outside), edges


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """A mask uint8 (H, W) of 0 and 1 with everything set that cannot be reached from outside of it, side by side."""
    outside = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, numbers = cv2.connectedComponents(outside, connectivity=4)
    return (numbers[1:-1, 1:-1] != numbers[0, 0]).astype(np.uint8)


def _otsu(values: np.ndarray) -> float:
    return float(cv2.threshold(values, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0])


def _to_uint8(strength: np.ndarray) -> np.ndarray:
    highest = float(strength.max())
    return cv2.convertScaleAbs(strength, alpha=255 / highest if highest else 0.0)
