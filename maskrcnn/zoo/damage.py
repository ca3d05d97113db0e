"""Numbers that no trained network has, found before they are used."""

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor

_VARIANCES = ("running_var", "moving_variance")  # of torch and of Keras


def damage_in(tensors: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the first entry that holds NaN, infinity or a negative variance; None where all are sound."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        numbers = tensor if tensor.element_size() > 1 else tensor.float()
        lowest, highest = (float(end) for end in torch.aminmax(numbers))  # of NaN both are NaN
        if not (isfinite(lowest) and isfinite(highest)):
            bad = int((~numbers.isfinite()).sum())
            return f"{name} holds NaN or infinity in {bad} of {numbers.numel()} places, so the weights are of no use"
        if lowest < 0 and name.endswith(_VARIANCES):
            return f"{name} holds a variance of {lowest:.3g}, so the weights are of no use"
    return None
