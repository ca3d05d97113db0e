"""Work in a process of its own, so that its peak memory is its own; several take turns."""

import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import torch

_STATUS = Path("/proc/self/status")  # Linux


class WorkFailedError(Exception):
    """A process could not do its work; the text is the last line of what it said, or all of it with `__cause__`."""


class Worker:
    """A process that calls `build(*args)` once, and what that returned each time it is asked.

    `build` is a function of a module; what its function returns can be pickled.

    Raises:
        WorkFailedError: here and at a call, when the process failed.
    """

    def __init__(self, threads: int, build: Callable[..., Callable[[], Any]], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads, build, args), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process ends the connection
        self.peak_bytes = 0
        """Most memory that the process had so far; the GPU's where it uses one."""
        self._receive()

    def __call__(self) -> Any:
        self._connection.send("again")
        return self._receive()

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive():
            self._connection.send("stop")
        self._process.join()
        self._connection.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> Any:
        try:
            error, result, self.peak_bytes = self._connection.recv()
        except EOFError:
            self._process.join()
            raise WorkFailedError(f"its process ended with status {self._process.exitcode}") from None
        if error:
            self._process.join()
            raise WorkFailedError(error.strip().splitlines()[-1]) from RuntimeError(error)
        return result


def apart(threads: int, function: Callable[..., Any], *args: Any) -> Any:
    """What `function(*args)` returns, in a process of its own.

    Raises:
        WorkFailedError: it failed.
    """
    with Worker(threads, _call, function, args) as worker:
        return worker()


def _call(function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[], Any]:
    return lambda: function(*args)


def _serve(
    connection: Connection, threads: int, build: Callable[..., Callable[[], Any]], args: tuple[Any, ...]
) -> None:
    use_threads(threads)
    sys.stdout = sys.stderr  # the table alone is on the standard output
    try:
        run = build(*args)
        connection.send(("", None, peak_bytes()))
        while connection.recv() == "again":
            result = run()
            connection.send(("", result, peak_bytes()))
    except (EOFError, KeyboardInterrupt):
        return
    except BaseException:
        connection.send((traceback.format_exc(), None, 0))


def peak_bytes() -> int:
    """Most memory that this process had so far; of the GPU where it uses one."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    # Not getrusage, which also knows the peak of the process that started this one.
    if _STATUS.exists():
        return _status_bytes("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak() -> int:
    """Count the peak of this process from now on, where the system can (Linux); bytes that it has now."""
    if not _STATUS.exists():
        return peak_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def use_threads(threads: int) -> None:
    """As many threads here, and in the processes that are started from now on."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    # On a GPU float32 may use TensorFloat-32, for all alike.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def _status_bytes(entry: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{entry}:"))
    return int(line.split()[1]) * 1024
