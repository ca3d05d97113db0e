"""The contract that every body keeps: what it gives, how it is frozen, and whose published weights fit it.

Letters: N images, C channels.
"""

from abc import abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module):
    """Maps of an image at several strides, the finest first; nothing else of the network knows what kind it is."""

    channels: tuple[int, ...]
    """Of each map."""
    strides: tuple[int, ...]
    """Pixels of the network's input per cell of each map, ascending."""
    published: str | None = None
    """Where weights trained on ImageNet come from: "torchvision/resnet50", "timm/NAME"; None where none fit."""
    frozen_stages: int = 0
    """Parts that are not trained, from the input."""

    @abstractmethod
    def forward(self, pixels: Tensor) -> list[Tensor]:
        """The maps, each (N, C, H / stride, W / stride) with sides rounded up, from (N, 3, H, W)."""

    @abstractmethod
    def parts(self) -> list[nn.Module]:
        """All of the body in the order of the flow: the stem and the stages, in which it is frozen."""

    def published_name(self, entry: str) -> str | None:
        """What `entry` of this body's state is called in the state of `published`; None for what it lacks."""
        return entry

    def freeze(self, num_parts: int) -> None:
        """Train no longer the first `num_parts` of `parts`, beside those that are frozen already."""
        self.frozen_stages = max(self.frozen_stages, num_parts)
        for part in self.parts()[: self.frozen_stages]:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode, except for frozen parts: their batch norms keep their statistics."""
        super().train(mode)
        for part in self.parts()[: self.frozen_stages]:
            part.eval()
        return self
