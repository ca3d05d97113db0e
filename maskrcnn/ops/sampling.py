"""Random balanced subsets of positives and negatives."""

import torch
from torch import Tensor


def sample_balanced(
    kind: Tensor, num_samples: int, positive_fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw at most `num_samples` candidates, at most `positive_fraction` of them positive.

    Negatives fill up what the positives leave; fewer come back only when there are not enough. Draws on the device of
    `kind` from `generator`, which lives there, or from torch's global random state there: a seed gives another sample
    on a GPU than on a CPU.

    Args:
        kind: (A,) integers: 1 positive, 0 negative, others never drawn.

    Returns:
        Indices of the drawn positives and of the drawn negatives, int64, each in random order.
    """
    positives = (kind == 1).nonzero().squeeze(1)
    negatives = (kind == 0).nonzero().squeeze(1)
    num_positives = min(len(positives), int(num_samples * positive_fraction))
    num_negatives = min(len(negatives), num_samples - num_positives)
    return _draw(positives, num_positives, generator), _draw(negatives, num_negatives, generator)


def _draw(idx: Tensor, num: int, generator: torch.Generator | None) -> Tensor:
    return idx[torch.randperm(len(idx), generator=generator, device=idx.device)[:num]]
