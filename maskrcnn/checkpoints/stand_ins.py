"""What stands in for the objects that checkpoints of strangers are made of: inert, and real only when it is asked for.

A tensor or an array is a description of where its values lie; `real` checks it before it takes memory.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrcnn.untrusted.excerpt import excerpt

MOST_AXES, MOST_LENGTH = 16, 2**40
"""Of a tensor; its number of values is multiplied out only within these."""


class UnreadableError(Exception):
    """Why a file is not read: half a sentence that goes behind its path."""


def whole_numbers(values: object, what: str) -> tuple[int, ...]:
    """`values` as the shape, strides or axes that they claim to be: few whole numbers, none below 0."""
    if isinstance(values, tuple | list) and len(values) <= MOST_AXES:
        numbers = [value for value in values if type(value) is int and 0 <= value <= MOST_LENGTH]
        if len(numbers) == len(values):
            return tuple(numbers)
    raise UnreadableError(f"claims {what} {excerpt(values)}")


def whole_number(value: object, what: str) -> int:
    return whole_numbers((value,), what)[0]


def _product(numbers: tuple[int, ...]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


@dataclass
class NumpyDtype:
    """Stands in for `numpy.dtype`: how one value is written."""

    code: str
    is_aligned: bool = False
    is_copy: bool = True
    order: str = "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def real(self) -> np.dtype[Any]:
        """Of numbers or text only: objects could be anything, and records have no place in weights."""
        if not isinstance(self.code, str) or not re.fullmatch(r"[biufcSU]\d{1,4}", self.code):
            raise UnreadableError(
                f"holds a numpy array of dtype {excerpt(self.code)}, where only plain numbers are read"
            )
        if self.order not in ("<", ">", "=", "|"):
            raise UnreadableError(f"holds a numpy array in the byte order {excerpt(self.order)}")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass
class NumpyArray:
    """Stands in for `numpy.ndarray`: its parts, put together and checked by `real`."""

    shape: tuple[int, ...] = ()
    dtype: NumpyDtype = field(default_factory=lambda: NumpyDtype("O8"))
    is_fortran: bool = False
    raw: bytes | str = b""
    axes: tuple[int, ...] | None = None
    """Order of the axes behind a transposed view."""

    def __setstate__(self, state: Any) -> None:
        self.shape, self.dtype, self.is_fortran, self.raw = state[-4:]  # newer ones have a version in front

    def real(self) -> np.ndarray:
        """A read-only view of the bytes in the file."""
        if not isinstance(self.dtype, NumpyDtype):
            raise UnreadableError(f"holds a numpy array whose dtype is {excerpt(self.dtype)}")
        dtype = self.dtype.real()
        shape = whole_numbers(self.shape, "a numpy array of shape")
        if not isinstance(self.raw, bytes | bytearray | str):
            raise UnreadableError(f"holds a numpy array whose values are {excerpt(self.raw)}")
        if len(self.raw) != _product(shape) * dtype.itemsize:
            raise UnreadableError(f"holds a numpy array of shape {shape} in {len(self.raw)} bytes")
        raw = self.raw.encode("latin1") if isinstance(self.raw, str) else self.raw  # Python 2 wrote bytes as text
        array = np.ndarray(shape, dtype, raw, order="F" if self.is_fortran else "C")
        return array if self.axes is None else array.transpose(whole_numbers(self.axes, "an order of axes"))


@dataclass(frozen=True)
class StorageType:
    """Stands in for `torch.FloatStorage` and its like: the type of the values."""

    dtype: torch.dtype


@dataclass
class Storage:
    """Values in a row somewhere in the file, of which `values` is set once their place is known."""

    dtype: torch.dtype
    num_values: int
    values: torch.UntypedStorage | None = None


@dataclass
class TorchTensor:
    """Stands in for `torch.Tensor`: a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """That it takes when it is copied."""
        return _product(self.shape) * self.storage.dtype.itemsize

    def real(self) -> Tensor:
        """A view of the values in the file, on the CPU."""
        if self.storage.values is None:
            raise UnreadableError("holds a tensor without values")
        return torch.empty(0, dtype=self.storage.dtype).set_(self.storage.values, self.offset, self.shape, self.strides)  # type: ignore[arg-type]


def rebuilt_tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> TorchTensor:
    """Stands in for `torch._utils._rebuild_tensor_v2` and its like."""
    if not isinstance(storage, Storage):
        raise UnreadableError(f"holds a tensor whose storage is {excerpt(storage)}")
    start = whole_number(offset, "a tensor that begins at")
    sizes, steps = whole_numbers(shape, "a tensor of shape"), whole_numbers(strides, "a tensor with strides")
    if len(sizes) != len(steps):
        raise UnreadableError(f"claims a tensor of shape {sizes} with {len(steps)} strides")
    last = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if _product(sizes) > storage.num_values or (0 not in sizes and last >= storage.num_values):
        raise UnreadableError(f"claims a tensor of shape {sizes} with fewer values than that")
    return TorchTensor(storage, start, sizes, steps)


def rebuilt_parameter(tensor: object, *_: object) -> object:
    """Stands in for `torch._utils._rebuild_parameter`."""
    return tensor


class Namespace:
    """Stands in for `argparse.Namespace`: keeps what it holds."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class Ignored:
    """Stands in for an object of no use here: keeps nothing and does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass
