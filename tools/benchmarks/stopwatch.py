"""Where the time of a call goes: seconds of its parts, taken from outside."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import record_function

Places = Mapping[str, Sequence[tuple[Any, str]]]
"""Of each part: owners and names of its functions."""


class Stopwatch:
    """Seconds of each part, less those of the parts inside it, so that they add up.

    On CUDA the device is waited for around every part, unless `is_waiting` says no.
    """

    def __init__(self, device: torch.device, is_waiting: bool = True) -> None:
        self.seconds: dict[str, float] = {}
        self._device, self._is_waiting = device, is_waiting and device.type == "cuda"
        self._inside: list[float] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs within counts for `name`."""
        started = self._now()
        self._inside.append(0.0)
        try:
            with record_function(name):
                yield
        finally:
            elapsed = self._now() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed - self._inside.pop()
            if self._inside:
                self._inside[-1] += elapsed

    @contextmanager
    def watching(self, places: Places) -> Iterator[None]:
        """While it lasts, the functions of `places` count for their parts.

        Raises:
            AttributeError: a function that is not there any more.
        """
        with ExitStack() as stack:
            for name, functions in places.items():
                for owner, attribute in functions:
                    timed = self._timed(name, getattr(owner, attribute))
                    stack.enter_context(patch.object(owner, attribute, timed))
            yield

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        # What was compiled or captured is an object, which has no name to take over.
        return functools.wraps(function)(call) if hasattr(function, "__name__") else call

    def _now(self) -> float:
        if self._is_waiting:
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
