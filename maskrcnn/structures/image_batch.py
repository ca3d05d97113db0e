"""Images of several sizes in one padded tensor, and the way back to their own pixels.

Letters: N images, H W the padded frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maskrcnn.structures.targets import Targets

Size = tuple[int, int]


@dataclass(frozen=True)
class ImageBatch:
    """What the network reads."""

    pixels: Tensor
    """(N, 3, H, W) float, normalised, padded."""
    sizes: tuple[Size, ...]
    """(height, width) of each image inside the padded frame."""
    original_sizes: tuple[Size, ...]
    """(height, width) of each image before it was resized."""
    origins: tuple[Size, ...]
    """(y, x) of each image's first pixel in the padded frame."""

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def padded_size(self) -> Size:
        """(H, W)."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def to_padded(self, targets: Sequence[Targets], edge: float = 0.0) -> list[Targets]:
        """`targets`, one for each image in its pixels, with boxes and crowd regions in the padded frame.

        `edge` is 1 where boxes are to end on the index of their last pixel.
        """
        moved = []
        for target, (y, x) in zip(targets, self.origins, strict=True):
            if x == y == edge == 0:
                moved.append(target)
                continue
            shift = target.boxes.new_tensor([x, y, x, y])
            last = target.boxes.new_tensor([0, 0, edge, edge])
            # An object one pixel wide has no inclusive width; half a pixel keeps its logarithm finite.
            boxes = target.boxes + shift - last
            boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)], dim=1)
            moved.append(replace(target, boxes=boxes, ignore_boxes=target.ignore_boxes + shift - last))
        return moved

    def to_original(self, boxes: Tensor, image_idx: Tensor, edge: float = 0.0) -> Tensor:
        """Boxes (R, 4) of the padded frame in the pixels of the original images `image_idx` (R,), clipped to them.

        `edge` is 1 where the given boxes end on the index of their last pixel; what comes back ends on edges.
        """
        scales, origins, limits = [], [], []
        for (height, width), (original_height, original_width), (y, x) in zip(
            self.sizes, self.original_sizes, self.origins, strict=True
        ):
            scale_x = (original_width - edge) / max(width - edge, 1)
            scale_y = (original_height - edge) / max(height - edge, 1)
            scales.append([scale_x, scale_y, scale_x, scale_y])
            origins.append([x, y, x, y])
            limits.append([original_width, original_height] * 2)
        scale, origin, limit = (boxes.new_tensor(rows)[image_idx] for rows in (scales, origins, limits))
        original = (boxes - origin) * scale + boxes.new_tensor([0, 0, edge, edge])
        return torch.minimum(original.clamp(min=0), limit)

    def from_original(self, boxes: Tensor, image_idx: Tensor, edge: float = 0.0) -> Tensor:
        """The inverse of `to_original` for boxes (R, 4) inside their original images."""
        scales, origins = [], []
        for (height, width), (original_height, original_width), (y, x) in zip(
            self.sizes, self.original_sizes, self.origins, strict=True
        ):
            scale_x = max(width - edge, 1) / max(original_width - edge, 1)
            scale_y = max(height - edge, 1) / max(original_height - edge, 1)
            scales.append([scale_x, scale_y, scale_x, scale_y])
            origins.append([x, y, x, y])
        scale, origin = (boxes.new_tensor(rows)[image_idx] for rows in (scales, origins))
        return (boxes - boxes.new_tensor([0, 0, edge, edge])) * scale + origin
