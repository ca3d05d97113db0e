"""Images of several sizes in one padded tensor, and the way back to their own pixels.

Letters: N images, H W the padded frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from maskrcnn.structures.constants import constant
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

    @cached_property
    def frames(self) -> Tensor:
        """(3, N, 4) float32, on the device of the pixels: x y x y of the origins, w h w h of the sizes and of the
        original sizes."""
        corners = [[(x, y) * 2 for y, x in pairs] for pairs in (self.origins, self.sizes, self.original_sizes)]
        return torch.tensor(corners, dtype=torch.float32, device=self.pixels.device)

    def to_padded(self, targets: Sequence[Targets], edge: float = 0.0) -> list[Targets]:
        """`targets`, one for each image in its pixels, with boxes and crowd regions in the padded frame.

        `edge` is 1 where boxes are to end on the index of their last pixel.
        """
        moved = []
        last = constant((0, 0, edge, edge), self.pixels.device)
        for i, target in enumerate(targets):
            if edge == 0 and self.origins[i] == (0, 0):
                moved.append(target)
                continue
            shift = self.frames[0, i]
            # An object one pixel wide has no inclusive width; half a pixel keeps its logarithm finite.
            boxes = target.boxes + shift - last
            boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)], dim=1)
            moved.append(replace(target, boxes=boxes, ignore_boxes=target.ignore_boxes + shift - last))
        return moved

    def to_original(self, boxes: Tensor, image_idx: Tensor, edge: float = 0.0) -> Tensor:
        """Boxes (R, 4) of the padded frame in the pixels of the original images `image_idx` (R,), clipped to them.

        `edge` is 1 where the given boxes end on the index of their last pixel; what comes back ends on edges.
        """
        origin, size, limit = self.frames[:, image_idx]
        scale = (limit - edge) / (size - edge).clamp(min=1)
        original = (boxes - origin) * scale + constant((0, 0, edge, edge), boxes.device)
        return torch.minimum(original.clamp(min=0), limit)

    def from_original(self, boxes: Tensor, image_idx: Tensor, edge: float = 0.0) -> Tensor:
        """The inverse of `to_original` for boxes (R, 4) inside their original images."""
        origin, size, original = self.frames[:, image_idx]
        scale = (size - edge).clamp(min=1) / (original - edge).clamp(min=1)
        return (boxes - constant((0, 0, edge, edge), boxes.device)) * scale + origin
