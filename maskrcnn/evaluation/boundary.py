"""IoU of the rims of masks, which tells a rough outline from a good one also on a large object.

Paper: Boundary IoU, arXiv:2103.16562. D masks, G objects, P pairs of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from maskrcnn.structures.rle import crop

RIM_SHARE = 0.02
"""Width of the rim as a part of the image's diagonal, as in the paper for COCO."""


def rim_width(image_size: tuple[int, int]) -> int:
    """Pixels, at least 1, of an image of that (height, width)."""
    return max(1, round(RIM_SHARE * math.hypot(*image_size)))


def rim(rle: Mapping[str, Any]) -> tuple[int, int, np.ndarray]:
    """(x0, y0, bool bitmap (h, w)): the pixels of a mask that have one outside of it at most `rim_width` away.

    Distances are the larger of the two along the axes; what is outside of the image is outside of the mask. The bitmap
    is only as large as the object; for an empty mask all is 0.
    """
    x0, y0, bitmap = crop(rle)
    height, width = rle["size"]
    reach = rim_width((height, width))
    if min(bitmap.shape) <= 2 * reach:  # no pixel is farther from the edge of the window
        return x0, y0, bitmap
    framed = np.pad(bitmap.view(np.uint8), 1)
    distance = cv2.distanceTransform(framed, cv2.DIST_C, 3)[1:-1, 1:-1]
    return x0, y0, bitmap & (distance <= reach)


def boundary_ious(
    masks: Sequence[Mapping[str, Any]], objects: Sequence[Mapping[str, Any]], pairs: np.ndarray
) -> np.ndarray:
    """IoU of the rims of masks[d] and objects[g], float64 (P,), for each of the `pairs` (d, g), int64 (P, 2).

    Memory and time are those of the objects' windows, however large the image is. 0 where both are empty.
    """
    mask_rims = {d: rim(masks[d]) for d in np.unique(pairs[:, 0]).tolist()}
    object_rims = {g: rim(objects[g]) for g in np.unique(pairs[:, 1]).tolist()}
    mask_areas = {d: int(np.count_nonzero(bitmap)) for d, (_, _, bitmap) in mask_rims.items()}
    object_areas = {g: int(np.count_nonzero(bitmap)) for g, (_, _, bitmap) in object_rims.items()}
    ious = np.zeros(len(pairs))
    for i, (d, g) in enumerate(pairs.tolist()):
        common = _intersection(mask_rims[d], object_rims[g])
        ious[i] = common / max(mask_areas[d] + object_areas[g] - common, 1)
    return ious


def _intersection(a: tuple[int, int, np.ndarray], b: tuple[int, int, np.ndarray]) -> int:
    """Number of pixels that both have."""
    (ax, ay, first), (bx, by, second) = a, b
    x0, x1 = max(ax, bx), min(ax + first.shape[1], bx + second.shape[1])
    y0, y1 = max(ay, by), min(ay + first.shape[0], by + second.shape[0])
    if x1 <= x0 or y1 <= y0:
        return 0
    return int(
        np.count_nonzero(first[y0 - ay : y1 - ay, x0 - ax : x1 - ax] & second[y0 - by : y1 - by, x0 - bx : x1 - bx])
    )
