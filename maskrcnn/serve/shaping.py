"""What a person's pointer does to masks (COCO RLE): polygons, brush strokes, cuts, unions; all in px of the image.

P points (x, y); pixel (x, y) covers x..x+1, y..y+1.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pycocotools.mask

from maskrcnn.structures.rle import Rle, crop, decode_window, encode_window, rle_window

MIN_PIECE_SHARE = 0.01
"""Of an object that is cut: smaller pieces are crumbs beside the cut, and go to their neighbour."""
Window = tuple[int, int, int, int]
"""x0 y0 x1 y1, px, x1 and y1 exclusive."""


def polygon(points: np.ndarray, image_size: tuple[int, int]) -> Rle:
    """The pixels inside an outline (P, 2), as COCO counts them; what leaves the image is cut off.

    Raises:
        ValueError: fewer than three points, or no pixel.
    """
    if len(points) < 3:
        raise ValueError(f"an outline needs at least 3 points, got {len(points)}")
    height, width = image_size
    inside = np.clip(points, 0, (width, height))
    rle: Any
    (rle,) = pycocotools.mask.frPyObjects([inside.ravel().tolist()], height, width)
    return _expect_pixels({"size": [height, width], "counts": rle["counts"].decode("ascii")})


def stroke(points: np.ndarray, radius: float, image_size: tuple[int, int]) -> Rle:
    """The pixels whose centre is within `radius` px of the centres of those that a line (P, 2) goes through.

    Raises:
        ValueError: no point, or no pixel of the image.
    """
    if not len(points):
        raise ValueError("a stroke needs at least 1 point")
    height, width = image_size
    reach = int(np.ceil(radius)) + 1
    cells = np.floor(np.clip(points, -reach, (width + reach, height + reach))).astype(np.int32)
    x0, y0 = (cells.min(axis=0) - reach).tolist()
    x1, y1 = (cells.max(axis=0) + reach + 1).tolist()
    line = np.full((y1 - y0, x1 - x0), 255, np.uint8)
    cv2.polylines(line, [np.concatenate([cells, cells[-1:]]) - (x0, y0)], False, 0)  # of a lone point it draws nothing
    covered = cv2.distanceTransform(line, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    inside = covered[top - y0 : bottom - y0, left - x0 : right - x0]
    return _expect_pixels(encode_window(inside, left, top, image_size))


def union(masks: Sequence[Rle]) -> Rle:
    """The pixels of all of them; one or more masks of one image."""
    window = _around(masks)
    bitmap = np.zeros((window[3] - window[1], window[2] - window[0]), bool)
    for mask in masks:
        bitmap |= decode_window(mask, window)
    return encode_window(bitmap, window[0], window[1], _size(masks[0]))


def without(mask: Rle, erased: Rle) -> Rle:
    """The pixels of `mask` that are not in `erased`; there may be none."""
    window = rle_window(mask)
    return encode_window(decode_window(mask, window) & ~decode_window(erased, window), *window[:2], _size(mask))


def cut(mask: Rle, points: np.ndarray) -> list[Rle]:
    """The pieces, two or more, into which a line (P, 2) cuts an object; together they are its pixels.

    Pixels on the line, and parts that it does not touch, go to the nearest piece.

    Raises:
        ValueError: the line does not cut it.
    """
    x0, y0, bitmap = crop(mask)
    # One pixel of margin, so that nothing of the line is lost at the edge; far points are only cut off.
    height, width = bitmap.shape
    frame = np.zeros((height + 2, width + 2), np.uint8)
    cells = np.floor(np.clip(points, (x0 - 1e6, y0 - 1e6), (x0 + 1e6, y0 + 1e6))).astype(np.int32)
    cv2.polylines(frame, [cells - (x0 - 1, y0 - 1)], False, 1)
    line = frame[1:-1, 1:-1].astype(bool)
    rest = bitmap & ~line
    # A line whose pixels touch at corners separates what is connected by edges.
    num, labels, stats, _ = cv2.connectedComponentsWithStats(rest.astype(np.uint8), connectivity=4)
    near = cv2.dilate(line.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    beside = set(np.unique(labels[near & rest]).tolist())
    least = MIN_PIECE_SHARE * bitmap.sum()
    pieces = [i for i in range(1, num) if i in beside and stats[i, cv2.CC_STAT_AREA] >= least]
    if len(pieces) < 2:
        raise ValueError("the line does not cut the object in two; draw it from one side of the object to the other")
    is_piece = np.isin(labels, pieces)
    found: Any = cv2.distanceTransformWithLabels(
        (~is_piece).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.asarray(found[1], np.int64)
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    owner[nearest[is_piece]] = np.asarray(labels)[is_piece]
    owned = np.where(bitmap, owner[nearest], 0)
    return [encode_window(owned == piece, x0, y0, _size(mask)) for piece in pieces]


def _around(masks: Sequence[Rle]) -> Window:
    windows = np.array([rle_window(mask) for mask in masks])
    x0, y0 = windows[:, :2].min(axis=0).tolist()
    x1, y1 = windows[:, 2:].max(axis=0).tolist()
    return x0, y0, x1, y1


def _size(mask: Rle) -> tuple[int, int]:
    height, width = mask["size"]
    return height, width


def _expect_pixels(mask: Rle) -> Rle:
    x0, _, x1, _ = rle_window(mask)
    if x1 <= x0:
        raise ValueError("there is no pixel in it")
    return mask
