"""A semantic network, the whole flow on one page: picture -> input -> class logits -> a map of the picture.

Letters: N images, K classes with the background, H W the picture, h w the network's input.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn.semantic.preprocess import Preprocess
from maskrcnn.structures.semantic_map import SemanticMap, index_type


class SemanticNetwork(nn.Module):
    """A network with what belongs to it: how it sees pictures and what its classes are called.

    Args:
        body: from (N, 3, h, w) to class logits (N, K, h, w), or to a dict that has them under "out", as torchvision's.
        background: the class that stands for nothing in particular, if there is one.
    """

    def __init__(
        self,
        body: nn.Module,
        class_names: Sequence[str],
        *,
        preprocess: Preprocess | None = None,
        background: int | None = 0,
    ) -> None:
        super().__init__()
        self.body, self.class_names, self.background = body, tuple(class_names), background
        self.preprocess = preprocess or Preprocess()

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K, h, w) float32 of a batch (N, 3, h, w) that `preprocess` made."""
        out = self.body(pixels)
        return (out["out"] if isinstance(out, dict) else out).float()

    def segment(self, image: np.ndarray, *, with_probs: bool = False) -> SemanticMap:
        """The map of an RGB uint8 (H, W, 3) picture.

        Where the input has another size than the picture, the logits are brought to the picture's by bilinear
        interpolation before the best class is taken. Call under `torch.inference_mode()` and in eval mode.

        Raises:
            ValueError: the input would not fit into memory.
        """
        pixels = self.preprocess(image)[None].to(self.device)
        logits = self(pixels.to(self.dtype))[0]
        class_idx = best_class(logits, (image.shape[0], image.shape[1]))
        return SemanticMap(
            class_idx=class_idx.astype(index_type(len(self.class_names))),
            class_names=self.class_names,
            probs=logits.softmax(0).cpu().numpy() if with_probs else None,
            background=self.background,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and so of the input."""
        return next(self.parameters()).dtype


def best_class(logits: Tensor, image_size: tuple[int, int]) -> np.ndarray:
    """The index (H, W) int64 of the largest of logits (K, h, w), bilinearly interpolated to (height, width).

    Of equals the first. One class after the other is interpolated, so that memory is that of two of them, not of K.
    """
    if logits.shape[-2:] == image_size:
        return logits.argmax(0).cpu().numpy()
    best = torch.full(image_size, -torch.inf, device=logits.device)
    chosen = torch.zeros(image_size, dtype=torch.int32, device=logits.device)
    for k, one in enumerate(logits):
        value = F.interpolate(one[None, None], size=image_size, mode="bilinear", align_corners=False)[0, 0]
        is_better = value > best
        best = torch.where(is_better, value, best)
        chosen[is_better] = k
    return chosen.cpu().numpy()
