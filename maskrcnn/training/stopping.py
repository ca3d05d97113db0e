"""Ctrl-C and SIGTERM: a run ends after the step at hand, with a checkpoint, in all processes at the same step."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch

from maskrcnn.distributed import is_first, sum_over_ranks, world_size

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class RunStopped(KeyboardInterrupt):
    """A run that was asked to end, and has saved what it needs to go on."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class StopRequest:
    """While the block runs, the first of `SIGNALS` is only noted; a second one acts as it would have before.

    In a thread other than the main one, where Python sets no handlers, signals do what they always do.
    """

    def __init__(self) -> None:
        self._signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def agreed(self, device: torch.device) -> int:
        """The signal that any process was sent, or 0; every process must ask, after the same step."""
        if world_size() == 1:
            return self._signal
        signals = [self._signal == number for number in SIGNALS]
        counts = sum_over_ranks(torch.tensor(signals, dtype=torch.float32, device=device)).tolist()
        return next((int(number) for number, count in zip(SIGNALS, counts, strict=True) if count), 0)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        self._restore()
        if is_first():  # not through print or logging, which may be what the signal interrupted
            os.write(2, b"\nstopping after this step; once more ends at once, without a checkpoint\n")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
