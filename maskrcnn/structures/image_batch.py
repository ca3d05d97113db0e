"""Images of several sizes in one padded tensor, and the way back to their own pixels.

Letters: N images, H W the padded frame.
"""

from dataclasses import dataclass

from torch import Tensor

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

    def to_original(self, boxes: Tensor, i: int, edge: float = 0.0) -> Tensor:
        """Boxes (R, 4) of the padded frame in the pixels of the `i`-th original image, not clipped.

        `edge` is 1 where the given boxes end on the index of their last pixel; what comes back ends on edges.
        """
        (height, width), (original_height, original_width) = self.sizes[i], self.original_sizes[i]
        y, x = self.origins[i]
        scale_x = (original_width - edge) / max(width - edge, 1)
        scale_y = (original_height - edge) / max(height - edge, 1)
        scale = boxes.new_tensor([scale_x, scale_y, scale_x, scale_y])
        return (boxes - boxes.new_tensor([x, y, x, y])) * scale + boxes.new_tensor([0, 0, edge, edge])
