"""Ground-truth masks as bitmaps no larger than their objects, sampled inside boxes (G masks, R boxes, P pixels)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

SLIVER_PX = 1e-3
"""Source pixels; a pixel that a region touches by less is not in it, because `to_source` is rounded."""


@dataclass(frozen=True)
class MaskCrops:
    """G bitmaps packed end to end. An augmentation changes `to_source` only: pixels are never resampled."""

    pixels: Tensor
    """(P,) uint8, 0 or 1: row-major within a bitmap, bitmap after bitmap."""
    offsets: Tensor
    """(G + 1,) int64: bitmap g is pixels[offsets[g] : offsets[g + 1]]."""
    windows: Tensor
    """(G, 4) int64: x0 y0 x1 y1 of each bitmap in the source frame, that is, in pixels of the image file."""
    to_source: Tensor
    """(2, 3) float32: affine map of a point (x, y) of the current, augmented frame to the source frame."""

    def __post_init__(self) -> None:
        num_masks = len(self.windows)
        tensors = (self.pixels, self.offsets, self.windows, self.to_source)
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        expected = ((self.pixels.numel(),), (num_masks + 1,), (num_masks, 4), (2, 3))
        if shapes != expected:
            raise ValueError(f"mask crops need shapes {expected} (pixels, offsets, windows, to_source), got {shapes}")
        dtypes = tuple(tensor.dtype for tensor in tensors)
        if dtypes != (torch.uint8, torch.int64, torch.int64, torch.float32):
            raise ValueError(f"mask crops need dtypes uint8, int64, int64, float32, got {dtypes}")

    @classmethod
    def from_bitmaps(cls, bitmaps: Sequence[tuple[int, int, np.ndarray]]) -> "MaskCrops":
        """Packs (x0, y0, bitmap (h, w) of 0/1 or bool), x0 y0 being the bitmap's corner in the source frame."""
        windows = [(x0, y0, x0 + bitmap.shape[1], y0 + bitmap.shape[0]) for x0, y0, bitmap in bitmaps]
        flat = [np.asarray(bitmap, dtype=np.uint8).ravel() for _, _, bitmap in bitmaps]
        offsets = np.cumsum([0, *(len(pixels) for pixels in flat)], dtype=np.int64)
        return cls(
            pixels=torch.from_numpy(np.concatenate([np.zeros(0, np.uint8), *flat])),
            offsets=torch.from_numpy(offsets),
            windows=torch.tensor(windows, dtype=torch.int64).reshape(-1, 4),
            to_source=torch.eye(3)[:2].contiguous(),
        )

    @classmethod
    def concatenate(cls, parts: Sequence["MaskCrops"]) -> "MaskCrops":
        """The masks of one or more `parts` of the same frame, one part after the other.

        Raises:
            ValueError: their frames differ.
        """
        if any(not torch.equal(part.to_source, parts[0].to_source) for part in parts[1:]):
            raise ValueError("mask crops to concatenate need the same to_source, got several frames")
        counts = torch.cat([part.offsets.diff() for part in parts])
        return cls(
            pixels=torch.cat([part.pixels for part in parts]),
            offsets=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            windows=torch.cat([part.windows for part in parts]),
            to_source=parts[0].to_source,
        )

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Tensor) -> "MaskCrops":
        """The masks that a (G,) bool tensor keeps, or that an int64 tensor lists, in its order."""
        kept = index.nonzero().squeeze(1) if index.dtype == torch.bool else index
        lengths = (self.offsets[1:] - self.offsets[:-1])[kept]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        shifts = (self.offsets[:-1][kept] - offsets[:-1]).repeat_interleave(lengths)
        source_idx = torch.arange(len(shifts), device=shifts.device) + shifts
        return replace(self, pixels=self.pixels[source_idx], offsets=offsets, windows=self.windows[kept])

    def to(self, device: torch.device | str) -> "MaskCrops":
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "MaskCrops":
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "MaskCrops":
        return MaskCrops(*(function(t) for t in (self.pixels, self.offsets, self.windows, self.to_source)))

    def moved(self, to_current: np.ndarray) -> "MaskCrops":
        """The same masks seen from a new frame; `to_current` (2, 3) maps its points to the present current frame."""
        square = np.vstack([to_current, [0.0, 0.0, 1.0]])
        to_source = self.to_source.double().cpu().numpy() @ square
        return replace(self, to_source=torch.from_numpy(to_source.astype(np.float32)).to(self.to_source.device))

    def sample(self, boxes: Tensor, instance_idx: Tensor, size: int = 28) -> Tensor:
        """Masks in the frame of boxes: (R, size, size) float32 of 0.0 and 1.0.

        `boxes` (R, 4) are in the current frame; `instance_idx` (R,) int64 says whose mask each box reads. A value is
        that of the centre of its cell: bilinear in the source bitmap (zero outside of it), 1 where at least a half.
        """
        cells = (torch.arange(size, device=boxes.device, dtype=torch.float32) + 0.5) / size
        x0, y0, x1, y1 = boxes.float().unsqueeze(2).unbind(1)  # (R, 1) each
        x = (x0 + (x1 - x0) * cells)[:, None, :]  # (R, 1, size)
        y = (y0 + (y1 - y0) * cells)[:, :, None]  # (R, size, 1)
        a, b, c, d, e, f = self.to_source.reshape(-1).unbind()
        left, top, right, bottom = self.windows[instance_idx, :, None, None].unbind(1)  # (R, 1, 1) each
        # Half a pixel less: pixel 0 has its centre at 0.5, and bilinear weights are counted from centres.
        column = a * x + b * y + (c - 0.5) - left  # (R, size, size)
        row = d * x + e * y + (f - 0.5) - top
        width, height, start = right - left, bottom - top, self.offsets[instance_idx][:, None, None]
        column_floor, row_floor = column.floor(), row.floor()
        column_part, row_part = column - column_floor, row - row_floor

        value = torch.zeros_like(column)
        for row_step in (0, 1):
            row_idx = row_floor.long() + row_step
            row_weight = (row_part if row_step else 1 - row_part) * ((row_idx >= 0) & (row_idx < height))
            row_start = start + torch.minimum(row_idx.clamp(min=0), height - 1) * width
            for column_step in (0, 1):
                column_idx = column_floor.long() + column_step
                column_weight = column_part if column_step else 1 - column_part
                weight = row_weight * column_weight * ((column_idx >= 0) & (column_idx < width))
                value += weight * self.pixels[row_start + torch.minimum(column_idx.clamp(min=0), width - 1)]
        return (value >= 0.5).float()

    def visible_boxes(self, region: Sequence[float]) -> Tensor:
        """Tight boxes (G, 4) float32 of the mask pixels inside `region` (x0 y0 x1 y1), both in the current frame.

        All zeros where nothing of a mask is inside. Needs a `to_source` that keeps the axes (scales, flips, quarter
        turns, shifts), since only then a pixel is an upright rectangle in both frames.
        """
        to_source = self.to_source.double()
        source = map_boxes(torch.tensor([tuple(region)], dtype=torch.float64, device=to_source.device), to_source)[0]
        lengths = self.offsets[1:] - self.offsets[:-1]
        instance = torch.repeat_interleave(lengths)  # (P,) which mask a pixel belongs to
        left, top, right, _ = self.windows.unbind(1)
        position = torch.arange(len(instance), device=instance.device) - self.offsets[:-1][instance]
        width = (right - left)[instance]
        x, y = left[instance] + position % width, top[instance] + position // width
        x0, y0, x1, y1 = (source + source.new_tensor([SLIVER_PX, SLIVER_PX, -SLIVER_PX, -SLIVER_PX])).unbind()
        is_visible = (self.pixels > 0) & (x + 1 > x0) & (x < x1) & (y + 1 > y0) & (y < y1)
        instance, x, y = instance[is_visible], x[is_visible].double(), y[is_visible].double()

        num_masks = len(self)
        low, high = to_source.new_full((num_masks, 2), torch.inf), to_source.new_full((num_masks, 2), -torch.inf)
        corner, index = torch.stack([x, y], dim=1), instance[:, None].expand(-1, 2)
        low = low.scatter_reduce(0, index, corner, "amin")
        high = high.scatter_reduce(0, index, corner + 1, "amax")
        is_empty = low[:, :1].isinf()
        tight = torch.cat([torch.maximum(low, source[:2]), torch.minimum(high, source[2:])], dim=1)
        boxes = map_boxes(tight.masked_fill(is_empty, 0.0), inverse_affine(to_source)).float()
        limit = boxes.new_tensor(tuple(region))
        boxes = torch.minimum(torch.maximum(boxes, limit[[0, 1, 0, 1]]), limit[[2, 3, 2, 3]])
        return boxes.masked_fill(is_empty, 0.0)


def map_boxes(boxes: Tensor, affine: Tensor) -> Tensor:
    """Boxes (N, 4) in the frame that `affine` (2, 3) leads to; the affine keeps the axes, or swaps them."""
    corners = boxes.reshape(-1, 2, 2) @ affine[:, :2].T + affine[:, 2]
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


def inverse_affine(affine: Tensor) -> Tensor:
    """The (2, 3) affine map back."""
    linear = torch.linalg.inv(affine[:, :2])
    return torch.cat([linear, -linear @ affine[:, 2:]], dim=1)
