"""Losses as the heads give them, each with what it is a mean over."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """The losses of a batch, each a mean, and over how many things: the means of several batches weigh by these."""

    means: dict[str, Tensor]
    """Scalars by name."""
    counts: dict[str, int]
    """Of the same names: sampled anchors, sampled regions, positive regions, ..."""

    def __or__(self, other: "Losses") -> "Losses":
        """These losses and those of another head."""
        return Losses(self.means | other.means, self.counts | other.counts)


def smooth_l1(deltas: Tensor, targets: Tensor, beta: float) -> Tensor:
    """Sum over all elements of a loss that is quadratic below `beta` and linear above; L1 for 0."""
    if beta == 0:
        return F.l1_loss(deltas, targets, reduction="sum")
    return F.smooth_l1_loss(deltas, targets, reduction="sum", beta=beta)
