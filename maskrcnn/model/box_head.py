"""What a region is, and where exactly.

Letters: R regions, K classes, C channels.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from maskrcnn.model.layers import FrozenBatchNorm, Norm, conv_stack


class BoxHead(nn.Module):
    """Convolutions, fully connected layers, then class logits and box deltas (arXiv:1703.06870, figure 4)."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        resolution: int = 7,
        convs: int = 0,
        conv_channels: int = 256,
        conv_norm: Norm = "none",
        fcs: int = 2,
        fc_channels: int = 1024,
        fc_norm: Literal["none", "frozen_bn", "bn"] = "none",
        norm_eps: float = 1e-5,
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.convs = conv_stack(in_channels, conv_channels, convs, conv_norm, norm_eps)
        channels = (conv_channels if convs else in_channels) * resolution**2
        layers: list[nn.Module] = []
        for _ in range(fcs):
            layers.append(nn.Linear(channels, fc_channels))
            if fc_norm != "none":
                frozen = fc_norm == "frozen_bn"
                layers.append((FrozenBatchNorm if frozen else nn.BatchNorm1d)(fc_channels, norm_eps))
            layers.append(nn.ReLU(inplace=True))
            channels = fc_channels
        self.fcs = nn.Sequential(*layers)
        self.class_logits = nn.Linear(channels, num_classes + 1)
        self.deltas = nn.Linear(channels, 4 * (1 if class_agnostic else num_classes))
        for layer in self.fcs:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=1)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.class_logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.class_logits, self.deltas):
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (R, K + 1), the background last, and deltas (R, K or 1, 4), from (R, C, 7, 7)."""
        x = self.fcs(self.convs(pooled).flatten(1))
        return self.class_logits(x).float(), self.deltas(x).float().unflatten(1, (-1, 4))


def classification_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of (R, K + 1) against labels (R,) with K for the background; 0 for no region."""
    return F.cross_entropy(class_logits, labels, reduction="sum") / max(len(labels), 1)
