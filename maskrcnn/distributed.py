"""Several processes that train one model, as `torchrun` starts them; a lone process is the first of one."""

import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

WAIT = timedelta(hours=12)


def join(device: torch.device) -> torch.device:
    """Take part in what `torchrun` started, if it did; gives this process's device.

    On CUDA each process of a machine takes the next GPU, and tensors there are exchanged by NCCL; all else by gloo.

    Raises:
        ValueError: more processes on this machine than GPUs.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return device
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"process {local} of this machine has no GPU of its own; there are {torch.cuda.device_count()}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    # The others wait while the first reads and checks the data, and while it evaluates.
    # Objects always travel through the CPU: masks of a whole val set would fill the GPUs.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=WAIT)
    return device


def share_cores() -> None:
    """Use this process's part of the machine's cores, where `torchrun` has limited it to one for want of a number."""
    if "LOCAL_WORLD_SIZE" in os.environ and os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(num_cores())


def num_cores() -> int:
    """Cores for each of the processes that run on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def leave() -> None:
    """End what `join` began."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum of each element over all processes; every process must call it."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def gather(value: Any) -> list[Any]:
    """What every process has, in their order, known to all; every process must call it."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def gather_to_first(value: Any) -> list[Any] | None:
    """What every process has, in their order, for the first one; None in the others; every process must call it."""
    if world_size() == 1:
        return [value]
    values: list[Any] | None = [None] * world_size() if is_first() else None
    dist.gather_object(value, values)
    return values
