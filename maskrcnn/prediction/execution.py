"""How a model runs: on which device, in which precision, as it is or compiled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from maskrcnn.model.folding import fold_batch_norms
from maskrcnn.model.mask_rcnn import Dense, MaskRCNN
from maskrcnn.prediction.cuda_graphs import CapturedDense
from maskrcnn.prediction.memory import keep_freed_memory

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Execution:
    """What was chosen; `choose_execution` makes one."""

    device: torch.device
    precision: Precision
    is_compiled: bool = False
    """The dense part goes through `torch.compile`."""

    @property
    def description(self) -> str:
        """In words, such as "cpu, 2 threads, fp32 (bf16 would be faster on this processor)"."""
        words = [str(self.device)]
        if self.device.type == "cpu":
            words.append(f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}")
        hint = self.device.type == "cpu" and self.precision == "fp32" and multiplies_bf16()
        words.append(self.precision + (" (bf16 would be faster on this processor)" if hint else ""))
        if self.is_compiled:
            words.append("compiled")
        if self.device.type == "cuda":
            words.append("CUDA graphs")
        return ", ".join(words)


def choose_execution(
    device: str, precision: Literal["auto", "fp32", "bf16", "fp16"], compile: bool | Literal["auto"]
) -> Execution:
    """The execution of those names.

    "auto" is CUDA where there is one, else the CPU; on CUDA bf16 (fp16 where it knows no bf16), on a CPU fp32, so that
    results do not depend on the processor; and without a compiler, which takes minutes and has to be installed.

    Raises:
        ValueError: an unknown name, or a CUDA device that is not there.
    """
    where = choose_device(device)
    if compile not in (True, False, "auto"):
        raise ValueError(f"compile: expected True, False or 'auto', got {compile!r}")
    return Execution(where, choose_precision(precision, where), compile is True)


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one.

    Raises:
        ValueError: an unknown name, or a CUDA device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(index or 0) >= available:
        raise ValueError(f"device {name}: this machine has {available or 'no'} CUDA device{'s' * (available != 1)}")
    return torch.device(name)


def choose_precision(name: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """The precision of that name; "auto" is the fastest that keeps the results on CUDA, and fp32 on a CPU.

    Raises:
        ValueError: an unknown name.
    """
    if name != "auto":
        if name not in get_args(Precision):
            raise ValueError(f"precision: expected auto, {', '.join(get_args(Precision))}, got {name!r}")
        return name
    if device.type == "cpu":
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
    graphs. On a CPU the process from now on keeps memory that it frees (see `keep_freed_memory`).
    """
    if execution.device.type == "cpu":
        keep_freed_memory()
    dtype = DTYPES[execution.precision]
    model = fold_batch_norms(model, dtype).requires_grad_(False)  # pyright: ignore[reportAssignmentType]
    model = model.to(execution.device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    dense: Callable[[Tensor], Dense] = model.dense
    if execution.is_compiled:
        dense = torch.compile(dense)
    if execution.device.type == "cuda":
        dense = CapturedDense(dense)
    if dense != model.dense:
        model.dense = dense  # pyright: ignore[reportAttributeAccessIssue]
    return model
