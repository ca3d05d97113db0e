"""Losses as networks and their heads give them, each with what it is a mean over."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """The losses of a batch, each a mean, and over how much: the means of several batches weigh by these."""

    means: dict[str, Tensor]
    """Scalars by name."""
    counts: dict[str, float]
    """Of the same names: sampled anchors, sampled regions, positive regions, labelled pixels, ..."""

    def __or__(self, other: "Losses") -> "Losses":
        """These losses and those of another head."""
        return Losses(self.means | other.means, self.counts | other.counts)
