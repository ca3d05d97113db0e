"""Anchors: the RPN's reference boxes on a regular grid over every level.

Letters: A anchors of all levels. Paper: arXiv:1506.01497; sizes by level: arXiv:1612.03144.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from maskrcnn.model.fpn import STRIDES
from maskrcnn.structures.image_batch import Size


@dataclass(frozen=True)
class Anchors:
    """One size or several for each level, the same ratios (height / width) on all; see `AnchorSettings`."""

    sizes: Sequence[float | Sequence[float]] = (32, 64, 128, 256, 512)
    ratios: Sequence[float] = (0.5, 1.0, 2.0)
    rounded: bool = False
    offset: float = 0.0
    stride: Literal["fixed", "from_grid"] = "fixed"
    strides: Sequence[int] = STRIDES
    """Of the levels."""

    @property
    def per_cell(self) -> int:
        """Anchors of a cell: the RPN's outputs."""
        return len(self._cell(0))

    def __call__(self, padded_size: Size, grids: Sequence[Size], device: torch.device) -> list[Tensor]:
        """Anchors (h * w * per_cell, 4) for each grid (h, w), cell after cell in rows, those of a cell together.

        Centred on multiples of the stride, or `offset` strides beyond them; not clipped to the image.
        """
        levels = []
        for i, (height, width) in enumerate(grids):
            stride_y = stride_x = self.strides[i]
            if self.stride == "from_grid":
                stride_y, stride_x = padded_size[0] // height, padded_size[1] // width
            y = (torch.arange(height, device=device, dtype=torch.float32) + self.offset) * stride_y
            x = (torch.arange(width, device=device, dtype=torch.float32) + self.offset) * stride_x
            grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
            centres = torch.stack([grid_x, grid_y, grid_x, grid_y], dim=-1).reshape(-1, 1, 4)
            levels.append((centres + self._cell(i).to(device)).reshape(-1, 4))
        return levels

    def _cell(self, level: int) -> Tensor:
        """Anchors (sizes * ratios, 4) around the origin, the ratios of a size together."""
        of_level = self.sizes[level]
        sizes = of_level if isinstance(of_level, Sequence) else [of_level]
        roots = torch.tensor(self.ratios, dtype=torch.float32).sqrt()
        heights, widths = torch.cat([size * roots for size in sizes]), torch.cat([size / roots for size in sizes])
        cell = torch.stack([-widths, -heights, widths, heights], dim=1) / 2
        return cell.round() if self.rounded else cell
