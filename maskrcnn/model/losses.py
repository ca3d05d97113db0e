"""The loss of boxes, of the proposals as of the box head."""

import torch.nn.functional as F
from torch import Tensor


def smooth_l1(deltas: Tensor, targets: Tensor, beta: float) -> Tensor:
    """Sum over all elements of a loss that is quadratic below `beta` and linear above; L1 for 0."""
    if beta == 0:
        return F.l1_loss(deltas, targets, reduction="sum")
    return F.smooth_l1_loss(deltas, targets, reduction="sum", beta=beta)
