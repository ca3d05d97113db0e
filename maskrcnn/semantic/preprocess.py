"""From an RGB picture to the input of a semantic network, as torchvision's reference scripts and weights have it.

Letters: H W the picture, h w the network's input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from maskrcnn.structures.image_batch import ImageBatch, Size
from maskrcnn.untrusted.machine_memory import memory_bytes

MAX_INPUT_PIXELS = 4096 * 4096
"""That a network sees of one picture, on a machine that has room for them."""
BYTES_PER_PIXEL = 1300
"""Of the input, at the peak of a ResNet of stride 8 in float32: 1270 measured with FCN and 50 layers."""
MEMORY_SHARE = 0.5
"""Of the machine's memory that one picture may take."""


@dataclass(frozen=True)
class Preprocess:
    """How pixels become the input; the defaults are those of torchvision's published weights."""

    shortest_edge: int | None = 520
    """px of the shorter side, whatever the picture has; None scales by `scale`."""
    scale: float = 1.0
    """Factor where there is no `shortest_edge`; 1 shows the network the picture as it is."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """RGB, of pixels in 0..1."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def mode(self) -> Literal["shortest_edge", "scale"]:
        """Which of the two says the size of the input."""
        return "scale" if self.shortest_edge is None else "shortest_edge"

    def output_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which a picture of (height, width) is seen; the longer side is cut to a whole number."""
        height, width = image_size
        if self.shortest_edge is None:
            return max(1, int(height * self.scale)), max(1, int(width * self.scale))
        longer = int(self.shortest_edge * max(height, width) / min(height, width))
        return (longer, self.shortest_edge) if height > width else (self.shortest_edge, longer)

    def pixels(self, image: np.ndarray, size: Size) -> np.ndarray:
        """RGB uint8 (h, w, 3) of `size` from such a picture, by Pillow's bilinear filter.

        Raises:
            ValueError: `size` has more pixels than `max_input_pixels` allows.
        """
        height, width = size
        if height * width > max_input_pixels():
            raise ValueError(
                f"the network would see this picture of {image.shape[1]} x {image.shape[0]} px at {width} x {height}, "
                f"more than the {max_input_pixels() / 1e6:.3g} million pixels that are allowed on this machine"
            )
        if size == image.shape[:2]:
            return image
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))

    def __call__(self, image: np.ndarray) -> Tensor:
        """(3, h, w) float32 from an RGB uint8 (H, W, 3) array.

        Raises:
            ValueError: the input would have more pixels than `max_input_pixels` allows.
        """
        seen = self.pixels(image, self.output_size((image.shape[0], image.shape[1])))
        return self._normalised(torch.from_numpy(np.array(seen)).permute(2, 0, 1))

    def batch(self, images: Sequence[Tensor], original_sizes: Sequence[Size], device: torch.device) -> ImageBatch:
        """Pictures (3, h, w) uint8 RGB, at the size of the input already, in one; smaller ones padded with the mean."""
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = (max(sides) for sides in zip(*sizes, strict=True))
        pixels = torch.zeros(len(images), 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
        for own, image, (h, w) in zip(pixels, images, sizes, strict=True):
            own[:, :h, :w] = self._normalised(image.to(device, non_blocking=True))
        return ImageBatch(pixels, tuple(sizes), tuple(original_sizes), ((0, 0),) * len(images))

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std


@cache
def max_input_pixels() -> int:
    """`MAX_INPUT_PIXELS`, or fewer on a machine whose memory the network's maps of so many would fill."""
    return int(min(MAX_INPUT_PIXELS, MEMORY_SHARE * memory_bytes() / BYTES_PER_PIXEL))
