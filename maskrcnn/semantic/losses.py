"""Losses of a class for every pixel, each with what it is a mean over.

Letters: N images, K classes, h w the network's input. Labels are (N, h, w) int64, 0..K-1, or `VOID_LABEL` where nothing
is learnt. Weights of the classes, (K,), weigh the pixels (or, of Dice, the terms) of each; None is 1 for all. Every
loss gives (mean, count): parts of a batch together have the mean of their means weighed by the counts, and a part
without any labelled pixel has the loss 0, of which every logit is a part, and the count 0.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrcnn.structures.label_map import VOID_LABEL

NAMES = ("cross_entropy", "binary_cross_entropy", "dice", "focal")


@dataclass(frozen=True)
class LossRules:
    """What is summed: each of `NAMES` times its weight; see `SemanticLossSettings`."""

    weights: tuple[tuple[str, float], ...] = (("cross_entropy", 1.0),)
    gamma: float = 2.0
    class_weights: tuple[float, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the losses that take part."""
        return tuple(name for name, weight in self.weights if weight)

    def __call__(self, logits: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, float]]:
        """(weighted mean, count) of each of `names`, for logits (N, K, h, w) float32."""
        weights = torch.tensor(self.class_weights, device=logits.device) if self.class_weights else None
        found: dict[str, tuple[Tensor, float]] = {}
        for name, weight in self.weights:
            if not weight:
                continue
            if name == "cross_entropy":
                mean, count = cross_entropy(logits, labels, weights)
            elif name == "binary_cross_entropy":
                mean, count = binary_cross_entropy(logits, labels, weights)
            elif name == "dice":
                mean, count = dice(logits, labels, weights)
            else:
                mean, count = focal(logits, labels, self.gamma, weights)
            found[name] = weight * mean, count
        return found


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> tuple[Tensor, float]:
    """-log p of the true class by the softmax; mean over the labelled pixels, as of PyTorch's `cross_entropy`."""
    values = F.cross_entropy(logits, labels, reduction="none", ignore_index=VOID_LABEL)
    return _pixel_mean(values, labels, class_weights)


def binary_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> tuple[Tensor, float]:
    """Every class against the rest, by the sigmoid of its own logit; mean over the labelled pixels and the classes."""
    values = F.binary_cross_entropy_with_logits(logits, _one_hot(logits, labels), reduction="none").mean(dim=1)
    return _pixel_mean(values, labels, class_weights)


def focal(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, class_weights: Tensor | None = None
) -> tuple[Tensor, float]:
    """Cross entropy times (1 - p)^gamma, with p of the true class by the softmax. Paper: arXiv:1708.02002.

    Of two classes it is the paper's, of the sigmoid of the difference of their logits. `class_weights` are its alpha.
    """
    values = F.cross_entropy(logits, labels, reduction="none", ignore_index=VOID_LABEL)
    # Of a sure pixel -values may round to above 0, where the power has no derivative.
    missing = (-torch.expm1(-values)).clamp(min=1e-12)
    return _pixel_mean(missing**gamma * values, labels, class_weights)


def dice(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> tuple[Tensor, float]:
    """1 - 2 sum(p t) / (sum(p) + sum(t)) of the labelled pixels of an image, by the softmax, for each class in it.

    The mean is over all pairs of an image and a class that it has; a class that it lacks has no Dice. Paper:
    arXiv:1606.04797, with p in place of its square.
    """
    is_labelled = (labels != VOID_LABEL)[:, None]
    probs, true = logits.softmax(dim=1) * is_labelled, _one_hot(logits, labels) * is_labelled
    both, sizes = (probs * true).sum(dim=(2, 3)), (probs + true).sum(dim=(2, 3))  # (N, K)
    weights = (true.sum(dim=(2, 3)) > 0).to(logits.dtype)
    if class_weights is not None:
        weights = weights * class_weights
    terms = 1 - 2 * both / sizes.clamp(min=1e-6)
    total = weights.sum()
    return (terms * weights).sum() / total.clamp(min=1e-12), float(total)


def _one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    """(N, K, h, w) in the type of the logits; of a void pixel as of class 0."""
    known = labels.masked_fill(labels == VOID_LABEL, 0)
    return torch.zeros_like(logits).scatter_(1, known[:, None], 1.0)


def _pixel_mean(values: Tensor, labels: Tensor, class_weights: Tensor | None) -> tuple[Tensor, float]:
    """Of values (N, h, w), over the labelled pixels, by the weights of their classes."""
    is_labelled = labels != VOID_LABEL
    weights = is_labelled.to(values.dtype)
    if class_weights is not None:
        weights = weights * class_weights[labels.masked_fill(~is_labelled, 0)]
    total = weights.sum()
    return (values * weights).sum() / total.clamp(min=1e-12), float(total)
