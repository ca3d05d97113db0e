"""How a model runs: on which device, in which precision, with which memory."""

import ctypes
import os
import platform
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from maskrcnn.model.folding import fold_batch_norms
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.cuda_graphs import CapturedDense

Precision = Literal["fp32", "bf16", "fp16"]
Device = str | int | torch.device
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Numbers of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8
KEPT_BYTES = 2**31 - 1
MPS_FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"
"""What torch reads when it is imported; it then says in a warning which operators it runs on the CPU."""


@dataclass(frozen=True)
class Execution:
    """What was chosen; `choose_execution` makes one."""

    device: torch.device
    precision: Precision

    @property
    def description(self) -> str:
        """In words, such as "cpu, 2 threads, fp32 (bf16 would be faster on this processor)"."""
        words = [str(self.device)]
        if self.device.type == "cpu":
            words.append(f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}")
        hint = self.device.type == "cpu" and self.precision == "fp32" and multiplies_bf16()
        words.append(self.precision + (" (bf16 would be faster on this processor)" if hint else ""))
        if self.device.type == "cuda":
            words.append("CUDA graphs")
        if self.device.type == "mps" and os.environ.get(MPS_FALLBACK) != "1":
            words.append(f"{MPS_FALLBACK}=1 lets the CPU do what torch cannot do there")
        return ", ".join(words)


def choose_execution(device: Device, precision: Literal["auto", "fp32", "bf16", "fp16"]) -> Execution:
    """The execution of those names.

    "auto" is CUDA where there is one, else the CPU; on CUDA bf16 (fp16 where it knows no bf16), elsewhere fp32, so that
    results do not depend on the processor.

    Raises:
        ValueError: an unknown name, or a device that is not there.
    """
    where = choose_device(device)
    return Execution(where, choose_precision(precision, where))


def choose_device(device: Device) -> torch.device:
    """The device meant by a name, a `torch.device`, or the number of a CUDA device; "auto" is CUDA where there is one.

    Apple's "mps" and Intel's "xpu" have to be asked for: they run the same code, but none has been measured.

    Raises:
        ValueError: an unknown name, or a device that is not there.
    """
    # True is a number to Python, and not one to a user.
    name = f"cuda:{device}" if isinstance(device, int) and not isinstance(device, bool) else str(device)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    is_one = kind in ("cpu", "mps") and index in ("", "0")
    if not is_one and (kind not in ("cuda", "xpu") or (":" in name and not index.isdecimal())):
        raise ValueError(
            f"device: expected auto, cpu, cuda, cuda:N, the N of a CUDA device, mps, xpu or xpu:N, got {device!r}"
        )
    available = _num_devices(kind)
    if int(index or 0) >= available:
        found = f"{available or 'no'} {kind.upper()} device{'s' * (available != 1)}"
        raise ValueError(f"device {name}: this machine has {found}")
    return torch.device(kind if is_one else name)


def _num_devices(kind: str) -> int:
    """That torch can use, of a kind."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    if kind == "cpu":
        return 1
    backend = getattr(torch, kind)
    return backend.device_count() if backend.is_available() else 0


def choose_precision(name: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """The precision of that name; "auto" is the fastest that keeps the results on CUDA, and fp32 elsewhere.

    Raises:
        ValueError: an unknown name.
    """
    if name != "auto":
        if name not in get_args(Precision):
            raise ValueError(f"precision: expected auto, {', '.join(get_args(Precision))}, got {name!r}")
        return name
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def multiplies_bf16() -> bool:
    """Whether this processor multiplies matrices in bf16 itself (AVX512-BF16 or AMX)."""
    # Private names: where torch has them no longer, only a hint is lost.
    checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(check is not None and check() for check in checks)


def prepare(model: MaskRCNN, execution: Execution) -> MaskRCNN:
    """`model` itself, changed so that it runs as `execution` says, for inference only.

    Batch norms are folded, weights are in the precision and channels-last; on CUDA the dense part is captured in CUDA
    graphs.
    """
    dtype = DTYPES[execution.precision]
    model = fold_batch_norms(model, dtype).requires_grad_(False)  # pyright: ignore[reportAssignmentType]
    model = model.to(execution.device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if execution.device.type == "cuda":
        model.dense = CapturedDense(model.dense)  # pyright: ignore[reportAttributeAccessIssue]
    return model


def keep_freed_memory() -> bool:
    """Let malloc keep up to 2 GB of freed memory for the next tensor; whether that could be set.

    A large tensor is otherwise mapped afresh and returned when it is freed, and the system clears every page of it at
    its first use. It is a setting of the whole process, and stays: for a process whose business is prediction, as that
    of the command line. Only where the C library is glibc, so on Linux.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def share_freed_memory() -> bool:
    """Let threads that start from now on take memory where the main thread does; whether that could be set.

    glibc gives each thread a place of its own, made of pieces of 64 MB that it maps and returns again and again: in a
    thread the network takes a quarter more of the processor's time. Also a setting of the whole process.
    """
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1))


def release_freed_memory() -> None:
    """Give the system back what was freed, which small things that live longer keep malloc from doing by itself.

    A process that goes through thousands of tiles would otherwise grow by the holes between them. Only with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
