"""A semantic network, the whole flow on one page: picture -> input -> class logits -> a map of the picture, or losses.

Letters: N images, K classes with the background, H W the picture, h w the network's input.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn.semantic.losses import LossRules
from maskrcnn.semantic.preprocess import Preprocess
from maskrcnn.structures.image_batch import ImageBatch, Size
from maskrcnn.structures.label_map import VOID_LABEL
from maskrcnn.structures.losses import Losses
from maskrcnn.structures.semantic_map import SemanticMap, index_type
from maskrcnn.structures.targets import Targets

AUXILIARY = "aux"
"""Under which torchvision's networks give the logits of their second classifier, in training."""


class SemanticNetwork(nn.Module):
    """A network with what belongs to it: how it sees pictures and what its classes are called.

    Args:
        body: from (N, 3, h, w) to class logits (N, K, h, w), or to a dict that has them under "out", as torchvision's.
        background: the class that stands for nothing in particular, if there is one.
        rules: what it learns by.
        auxiliary_weight: of the losses of a second classifier, where the body has one in training.
    """

    def __init__(
        self,
        body: nn.Module,
        class_names: Sequence[str],
        *,
        preprocess: Preprocess | None = None,
        background: int | None = 0,
        rules: LossRules | None = None,
        auxiliary_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.body, self.class_names, self.background = body, tuple(class_names), background
        self.preprocess = preprocess or Preprocess()
        self.rules, self.auxiliary_weight = rules or LossRules(), auxiliary_weight

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K, h, w) float32 of a batch (N, 3, h, w) that `preprocess` made."""
        return self._all_logits(pixels)[0][1]

    def losses(
        self,
        images: ImageBatch,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator | None] | None = None,
    ) -> Losses:
        """The losses of a batch, of the names `loss_names`, by the label maps of the targets; nothing is drawn."""
        labels = torch.full((len(images), *images.padded_size), VOID_LABEL, device=images.pixels.device)
        for own, target, (height, width) in zip(labels, targets, images.sizes, strict=True):
            if target.label_map is not None:
                own[:height, :width] = target.label_map.sample((height, width))
        losses = Losses({}, {})
        weights = {"": 1.0, f"{AUXILIARY}_": self.auxiliary_weight}
        for prefix, logits in self._all_logits(images.pixels):
            found = self.rules(logits, labels)
            means = {f"{prefix}{name}": weights[prefix] * mean for name, (mean, _) in found.items()}
            losses |= Losses(means, {f"{prefix}{name}": count for name, (_, count) in found.items()})
        return losses

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Of all losses."""
        second = tuple(f"{AUXILIARY}_{name}" for name in self.rules.names) if self.auxiliary_weight else ()
        return (*self.rules.names, *second)

    def _all_logits(self, pixels: Tensor) -> list[tuple[str, Tensor]]:
        """The logits (N, K, h, w) float32, and in training a second classifier's, with a prefix each."""
        out = self.body(pixels)
        if not isinstance(out, dict):
            return [("", out.float())]
        second = [(f"{AUXILIARY}_", out[AUXILIARY].float())] if self.auxiliary_weight and AUXILIARY in out else []
        return [("", out["out"].float()), *second]

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
    def resize(self) -> Preprocess:
        """The size at which it sees a picture."""
        return self.preprocess

    @property
    def normalise(self) -> Callable[[Sequence[Tensor], Sequence[Size], torch.device], ImageBatch]:
        """From pictures of that size to its input."""
        return self.preprocess.batch

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
