"""Outlines between the pixels: where the bilinear surface through a mask's probabilities crosses 0.5.

N instances, M mask cells on a side; P vertices of a ring, (x, y) in pixels as in `polygons`.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrcnn.structures.masks import PasteMode, sample_grid
from maskrcnn.structures.polygons import Polygon

FINEST_PX = 1.5
"""Between two vertices, about; more of them would change nothing that is seen."""
MOST_PER_CELL = 4
"""Steps into which a cell of the mask is divided, at most: there the surface is nearly flat."""


@torch.no_grad()
def smooth_outlines(
    mask_probs: Tensor, boxes: Tensor, image_size: tuple[int, int], mode: PasteMode
) -> list[list[Polygon]]:
    """The parts of each of N masks with their holes, (N, M, M) 0..1 in `boxes` (N, 4), as `masks_to_runs` lays them.

    Rings are open and may have vertices anywhere in the image; a mask without a value above 0.5 gives []. Filled at
    pixel centres they differ from the pixels of `masks_to_runs` at single pixels of the border.
    """
    from contourpy import FillType, contour_generator  # only who asks for these outlines needs it

    height, width = image_size
    values, columns, rows = (part.cpu().double().numpy() for part in sample_grid(mask_probs, boxes, image_size, mode))
    low, high = np.zeros((len(values), 2)), np.tile([width, height], (len(values), 1)).astype(np.float64)
    if mode == "integer":  # nothing is outside the box
        corners = boxes.cpu().double().numpy().round()
        low, high = np.maximum(low, corners[:, :2]), np.minimum(high, corners[:, 2:])
    outlines: list[list[Polygon]] = []
    for z, x, y, first, last in zip(values, columns, rows, low, high, strict=True):
        if not (np.isfinite(x).all() and np.isfinite(y).all()) or z.max() <= 0.5:
            outlines.append([])
            continue
        z, y = _refined(z, y)
        z, x = _refined(z.T, x)
        made: Any = contour_generator(x, y, z.T, fill_type=FillType.OuterOffset).filled(0.5, np.inf)
        polygons = [
            # Kept inside by moving what is outside onto the border, which changes nothing inside.
            [_open(np.clip(points[a:b], first, last)) for a, b in pairwise(of)]
            for points, of in zip(*made, strict=True)
        ]
        parts = [[ring for ring in rings if len(ring) > 2] for rings in polygons if len(rings[0]) > 2]
        outlines.append([{"exterior": rings[0], "holes": rings[1:]} for rings in parts])
    return outlines


def _refined(values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """More rows in between, linearly: `values` (R, C) at `places` (R,)."""
    step_px = (places[-1] - places[0]) / (len(places) - 1)
    num = int(np.clip(round(step_px / FINEST_PX), 1, MOST_PER_CELL))
    if num == 1:
        return values, places
    at = np.arange((len(places) - 1) * num + 1) / num
    before = np.minimum(at.astype(int), len(places) - 2)
    weight = at - before
    finer = values[before] * (1 - weight)[:, None] + values[before + 1] * weight[:, None]
    return finer, places[before] * (1 - weight) + places[before + 1] * weight


def _open(ring: np.ndarray) -> np.ndarray:
    """Without the vertex that closes it, and without any that is the one before."""
    keep = (ring != np.roll(ring, 1, axis=0)).any(axis=1)
    return ring[keep]
