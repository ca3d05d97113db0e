"""From a device to the CPU, many tensors in one copy: each copy has the host wait for all that was asked before it."""

from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNMENT = 8
"""Bytes; of the widest numbers that tensors here are made of."""


def to_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    """`tensors`, of one device, on the CPU, in contiguous order; those that are there already are given back."""
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return list(tensors)
    parts = [tensor.contiguous().flatten().view(torch.uint8) for tensor in tensors]
    rooms = [-(-len(part) // ALIGNMENT) * ALIGNMENT for part in parts]
    padded = [torch.nn.functional.pad(part, (0, room - len(part))) for part, room in zip(parts, rooms, strict=True)]
    here = torch.cat(padded).cpu().split(rooms)
    return [
        own[: len(part)].view(tensor.dtype).view(tensor.shape)
        for own, part, tensor in zip(here, parts, tensors, strict=True)
    ]
