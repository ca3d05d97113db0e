"""From an RGB picture to the input of a semantic network, as torchvision's reference scripts and weights have it.

Letters: H W the picture, h w the network's input.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

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

    def output_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which a picture of (height, width) is seen; the longer side is cut to a whole number."""
        height, width = image_size
        if self.shortest_edge is None:
            return max(1, int(height * self.scale)), max(1, int(width * self.scale))
        longer = int(self.shortest_edge * max(height, width) / min(height, width))
        return (longer, self.shortest_edge) if height > width else (self.shortest_edge, longer)

    def __call__(self, image: np.ndarray) -> Tensor:
        """(3, h, w) float32 from an RGB uint8 (H, W, 3) array, resized by Pillow's bilinear filter.

        Raises:
            ValueError: the input would have more pixels than `max_input_pixels` allows.
        """
        height, width = self.output_size((image.shape[0], image.shape[1]))
        if height * width > max_input_pixels():
            raise ValueError(
                f"the network would see this picture of {image.shape[1]} x {image.shape[0]} px at {width} x {height}, "
                f"more than the {max_input_pixels() / 1e6:.3g} million pixels that are allowed on this machine"
            )
        if (height, width) != image.shape[:2]:
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


@cache
def max_input_pixels() -> int:
    """`MAX_INPUT_PIXELS`, or fewer on a machine whose memory the network's maps of so many would fill."""
    return int(min(MAX_INPUT_PIXELS, MEMORY_SHARE * memory_bytes() / BYTES_PER_PIXEL))
