"""Numbers that a device is given once: every copy to a GPU makes the host wait."""

from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@lru_cache(maxsize=256)
def constant(numbers: Numbers, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """`numbers` as a tensor on `device`, the same one at every call: not to be written to."""
    with torch.inference_mode(False):  # so that training may use it too
        return torch.tensor(numbers, dtype=dtype, device=device)
