"""The class that every pixel of one image is to have, for learning (H W of its file, h w of the current frame)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

VOID_LABEL = 255
"""Of pixels from which nothing is learnt."""
THINGS = 0
"""The label that the pixels of all objects share; kinds of stuff follow from 1 on (arXiv:1901.02446, section 3)."""


@dataclass(frozen=True)
class LabelMap:
    """Labels as annotated. An augmentation changes `to_source` only: pixels are resampled only when they are read."""

    pixels: Tensor
    """(H, W) uint8; `VOID_LABEL` where there is none."""
    to_source: Tensor
    """(2, 3) float32: affine map of a point (x, y) of the current, augmented frame to the frame of the image file."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != torch.uint8:
            raise ValueError(f"expected labels (H, W) of uint8, got {tuple(self.pixels.shape)} of {self.pixels.dtype}")
        if self.to_source.shape != (2, 3) or self.to_source.dtype != torch.float32:
            raise ValueError(f"expected to_source (2, 3) of float32, got {tuple(self.to_source.shape)}")

    @classmethod
    def of_pixels(cls, pixels: np.ndarray) -> "LabelMap":
        """Of the labels (H, W) uint8 of an image as its file has it."""
        return cls(torch.from_numpy(pixels), torch.eye(3)[:2].contiguous())

    def to(self, device: torch.device | str) -> "LabelMap":
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "LabelMap":
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "LabelMap":
        return LabelMap(function(self.pixels), function(self.to_source))

    def moved(self, to_current: np.ndarray) -> "LabelMap":
        """The same labels seen from a new frame; `to_current` (2, 3) maps its points to the present current frame."""
        square = np.vstack([to_current, [0.0, 0.0, 1.0]])
        to_source = self.to_source.double().cpu().numpy() @ square
        return replace(self, to_source=torch.from_numpy(to_source.astype(np.float32)).to(self.to_source.device))

    def sample(self, size: tuple[int, int]) -> Tensor:
        """Labels (h, w) int64 of the pixels of a frame of `size` (height, width).

        Each is that of the source pixel in which its centre lies, and void outside of the image.
        """
        height, width = size
        x = torch.arange(width, device=self.pixels.device, dtype=torch.float32)[None, :] + 0.5
        y = torch.arange(height, device=self.pixels.device, dtype=torch.float32)[:, None] + 0.5
        a, b, c, d, e, f = self.to_source.reshape(-1).unbind()
        column, row = (a * x + b * y + c).floor().long(), (d * x + e * y + f).floor().long()  # (h, w)
        num_rows, num_columns = self.pixels.shape
        inside = (row >= 0) & (row < num_rows) & (column >= 0) & (column < num_columns)
        if 0 in self.pixels.shape:
            return torch.full((height, width), VOID_LABEL, device=self.pixels.device)
        labels = self.pixels[row.clamp(0, num_rows - 1), column.clamp(0, num_columns - 1)].long()
        return labels.masked_fill(~inside, VOID_LABEL)
