"""How much masks overlap, at the cost of a small grid for each, whatever the size of the image.

N and T masks, P pairs of them, G cells on a side of a grid.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from maskrcnn.structures.instances import Instances

GRID = 16
"""Cells on a side. The IoU of two masks is right to about 0.03, of very small ones to 0.1."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Masks as grids in their windows."""

    windows: np.ndarray
    """(N, 4) float64: x0 y0 x1 y1, px."""
    grids: np.ndarray
    """(N, G, G) float32: the part of each cell, y before x, that is covered."""

    @classmethod
    def of(cls, instances: Instances) -> "Shapes":
        """The masks of a result. One without a pixel is its whole box."""
        windows = instances.boxes.cpu().numpy().astype(np.float64)
        grids = np.ones((len(windows), GRID, GRID), np.float32)
        for i, (x0, y0, bitmap) in enumerate(instances.crops()):
            if bitmap.size:
                height, width = bitmap.shape
                windows[i] = x0, y0, x0 + width, y0 + height
                cells = cv2.resize(bitmap.view(np.uint8) * np.uint8(255), (GRID, GRID), interpolation=cv2.INTER_AREA)
                np.multiply(cells, 1 / 255, out=grids[i])
        return cls(windows, grids)

    def __getitem__(self, rows: np.ndarray) -> "Shapes":
        return Shapes(self.windows[rows], self.grids[rows])

    @property
    def centres(self) -> np.ndarray:
        """(N, 2) x, y of the middles of the windows."""
        return (self.windows[:, :2] + self.windows[:, 2:]) / 2

    @property
    def sides(self) -> np.ndarray:
        """(N, 2) width, height."""
        return self.windows[:, 2:] - self.windows[:, :2]

    @property
    def areas(self) -> np.ndarray:
        """(N,) px."""
        return self.grids.mean(axis=(1, 2)) * self.sides.prod(axis=1)


def mask_iou(first: Shapes, second: Shapes) -> np.ndarray:
    """(T, N) IoU of each mask of `first` with each of `second`."""
    a, b = first.windows[:, None], second.windows[None]
    meets = (a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2]) & (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3])
    rows, columns = np.nonzero(meets)
    iou = np.zeros(meets.shape)
    if not len(rows):
        return iou
    # The cells of the smaller one are looked up in the larger one.
    area_a, area_b = first.areas[rows], second.areas[columns]
    is_swapped = first.sides.prod(axis=1)[rows] > second.sides.prod(axis=1)[columns]
    inter = np.empty(len(rows))
    for side, small, large, i, j in (
        (~is_swapped, first, second, rows, columns),
        (is_swapped, second, first, columns, rows),
    ):
        inter[side] = _intersections(small[i[side]], large[j[side]])
    iou[rows, columns] = inter / np.maximum(area_a + area_b - inter, 1e-9)
    return iou


def _intersections(small: Shapes, large: Shapes) -> np.ndarray:
    """(P,) px in which both masks of a pair lie."""
    centres = (np.arange(GRID) + 0.5) / GRID
    places = []
    for axis in (0, 1):
        at = small.windows[:, axis, None] + small.sides[:, axis, None] * centres  # (P, G)
        cell = (at - large.windows[:, axis, None]) / np.maximum(large.sides[:, axis, None], 1e-9) * GRID
        places.append(np.floor(cell).astype(np.int64))
    x, y = places
    is_inside = ((y >= 0) & (y < GRID))[:, :, None] & ((x >= 0) & (x < GRID))[:, None, :]
    pair = np.arange(len(x))[:, None, None]
    values = large.grids[pair, np.clip(y, 0, GRID - 1)[:, :, None], np.clip(x, 0, GRID - 1)[:, None, :]]
    return (np.minimum(small.grids, values) * is_inside).mean(axis=(1, 2)) * small.sides.prod(axis=1)
