"""How often each number occurs."""

import torch
from torch import Tensor


def count_each(numbers: Tensor, num: int) -> Tensor:
    """How often each of 0..num-1 is in `numbers` (R,) int64: (num,) int64.

    It makes (R, num) booleans, so `num` should be small; `bincount` would have a GPU tell the host the extremes first.
    """
    return (numbers[:, None] == torch.arange(num, device=numbers.device)).sum(dim=0)
