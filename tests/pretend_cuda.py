"""A rehearsal of CUDA on a machine without it: tensors that say they are elsewhere, a count of what a GPU waits for.

`with Rehearsal() as rehearsal:` the device `DEVICE` takes tensors (`model.to(DEVICE)`). They keep their numbers in
ordinary memory, so what they compute is what the CPU computes; but an operation that would mix them with tensors of the
CPU raises `DeviceMismatchError`, as it would on a GPU. `rehearsal.uploads` and `rehearsal.waits` say which lines of the
package copied numbers to the device and which made the host wait for it, and how often.

It knows nothing of streams, graphs and the rounding of a GPU's kernels.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import maskrcnn

DEVICE = torch.device("meta")  # the only type of device that torch handles without a driver, and computes nothing on
PACKAGE = str(Path(maskrcnn.__file__).parent)

SYNCHRONISING = {
    # What torch's CUDA kernels wait for: the size of a result that depends on the numbers, or a number for the host.
    "aten::_local_scalar_dense": 1,
    "aten::nonzero": 1,
    "aten::masked_select": 1,
    "aten::_unique2": 1,
    "aten::unique_dim": 1,
    "aten::unique_consecutive": 1,
    "aten::equal": 1,
    "aten::bincount": 2,  # the least and the greatest number
    "torchvision::nms": 1,
}
GENERATOR = torch.Generator


class DeviceMismatchError(RuntimeError):
    """Tensors of two devices met."""


class Elsewhere(Tensor):
    """A tensor of the pretended device; `numbers` are its values."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "Elsewhere":
        return Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
        )

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"{tuple(self.shape)} of {self.dtype} elsewhere"

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of the rehearsal")


class Rehearsal:
    """See the module. With `is_cuda` False the device is one of another make, which knows no float64 either."""

    def __init__(self, *, is_cuda: bool = True) -> None:
        self.is_cuda = is_cuda
        self.calls = 0
        self.uploads: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __enter__(self) -> "Rehearsal":
        self._modes = ExitStack()
        self._modes.enter_context(_Operations(self))
        self._modes.enter_context(_Front(self))
        self._modes.enter_context(patch("torch.Generator", _Generator))
        return self

    def __exit__(self, *exception: object) -> None:
        self._modes.close()


class _Operations(TorchDispatchMode):
    """What torch's operations do."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__()
        self.rehearsal = rehearsal

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # which is not imported then, a matter of seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        with (
            torch._C.DisableTorchFunction(),
            self,
        ):  # under inference_mode an operation made of others comes whole; its parts are what runs
            result = func.decompose(*args, **kwargs or {})
        if result is not NotImplemented:
            return result
        with torch._C.DisableTorchFunction():
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        is_elsewhere = self._result_is_elsewhere(func.name().partition(".")[0], tensors, args, kwargs)
        bare = {name: value for name, value in kwargs.items() if name != "device"}
        result = func(*tree_map(_numbers_of, args), **tree_map(_numbers_of, bare))
        if not is_elsewhere:
            return result
        self.rehearsal.calls += 1
        # What an operation changed in place it gives back: the same tensor, not a new one.
        known = {id(tensor.numbers): tensor for tensor in tensors if isinstance(tensor, Elsewhere)}
        # A view is an inference tensor only if what it looks at is one.
        is_view = any(given.alias_info is not None for given in func._schema.returns)
        is_usual = is_view and isinstance(args[0], Tensor) and not args[0].is_inference()
        with torch.inference_mode(torch.is_inference_mode_enabled() and not is_usual):
            return tree_map(lambda leaf: known[id(leaf)] if id(leaf) in known else self._elsewhere(leaf), result)

    def _result_is_elsewhere(
        self, name: str, tensors: Sequence[Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> bool:
        """Counts what the operation costs, and refuses what a GPU would refuse."""
        is_there = any(isinstance(tensor, Elsewhere) for tensor in tensors)
        here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.ndim > 0]
        device = kwargs.get("device")
        wanted = is_there if device is None else torch.device(device).type == DEVICE.type
        if name in ("aten::copy_", "aten::_to_copy"):
            to_there = isinstance(args[0], Elsewhere) if name == "aten::copy_" else wanted
            from_there = isinstance(args[name == "aten::copy_"], Elsewhere)
            if to_there != from_there:
                (self.rehearsal.uploads if to_there else self.rehearsal.waits)[_line()] += 1
            return to_there
        if not is_there:
            return wanted
        if name in ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"):
            self._count_index(args)
            here = [tensor for tensor in here if all(tensor is not index for index in args[1])]
        if here:
            shape = tuple(here[0].shape)
            raise DeviceMismatchError(f"{name} of a tensor {shape} of the CPU and one from elsewhere at {_line()}")
        num = SYNCHRONISING.get(name, 0)
        if name == "aten::repeat_interleave" and kwargs.get("output_size") is None:
            num = 1
        if num:
            self.rehearsal.waits[_line()] += num
        return wanted and name != "aten::_local_scalar_dense"

    def _count_index(self, args: Sequence[Any]) -> None:
        """Indices on the CPU are copied; those that are true or false are counted, unless one number goes to all."""
        indices = [index for index in args[1] if index is not None]
        if not all(isinstance(index, Elsewhere) for index in indices):
            self.rehearsal.uploads[_line()] += 1
        is_filled = len(args) > 2 and args[2].numel() == 1
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices) and not is_filled:
            self.rehearsal.waits[_line()] += 1

    def _elsewhere(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.dtype == torch.float64 and not self.rehearsal.is_cuda:
            raise TypeError(f"this device knows no float64, wanted at {_line()}")
        return Elsewhere(leaf)


class _Front(TorchFunctionMode):
    """What torch answers before any operation is dispatched: constructors that read Python numbers, and is_cuda."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__()
        self.rehearsal = rehearsal

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == Tensor.is_cuda.__get__ and isinstance(args[0], Elsewhere):  # pyright: ignore[reportAttributeAccessIssue]
            return self.rehearsal.is_cuda
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            device = kwargs.pop("device", None)
            if func is Tensor.new_tensor:
                like, *args = args
                device = like.device if device is None else device
                kwargs.setdefault("dtype", like.dtype)
            made = (torch.as_tensor if func is torch.as_tensor else torch.tensor)(*args, **kwargs)
            return made if device is None else made.to(device)
        if func is Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


class _Generator(GENERATOR):
    """Random numbers of the pretended device are the CPU's."""

    def __new__(cls, device: torch.device | str = "cpu") -> "_Generator":
        device = "cpu" if torch.device(device).type == DEVICE.type else device
        return super().__new__(cls, device)  # pyright: ignore[reportCallIssue]


def _numbers_of(leaf: Any) -> Any:
    if isinstance(leaf, Elsewhere):
        return leaf.numbers
    return torch.device("cpu") if isinstance(leaf, torch.device) and leaf == DEVICE else leaf


def _line() -> str:
    """The innermost line of the package that is running."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"{frame.f_code.co_filename[len(PACKAGE) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside of the package"
