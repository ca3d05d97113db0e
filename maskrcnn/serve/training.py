"""Fine-tuning from the checked pictures: in processes of its own, one run at a time, followed through their output."""

import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from maskrcnn.serve.limits import RefusedError
from maskrcnn.untrusted.names import printable

TAIL_BYTES = 64_000
TAIL_LINES = 60
LOG = "log.txt"
STOPS_WITHIN_S = 30.0
"""After being asked to: training saves a checkpoint first."""
State = Literal["none", "running", "done", "failed", "stopped"]
Commands = Callable[[Path], Sequence[Sequence[str]]]
"""Gives for the folder of a new run the commands, one after the other."""


class Training:
    """Runs below a folder, run, run_2, ..., each beside the output of its commands (`LOG` behind the name)."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        self._folder, self._commands = folder, commands
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._state: State = "none"
        self._is_stopped = False
        self._log: Path | None = None

    def start(self) -> None:
        """Begin a run.

        Raises:
            RefusedError: 409, one is running.
        """
        with self._lock:
            if self._state == "running":
                raise RefusedError(409, "a training run is going on already")
            names = (f"run_{i}" if i > 1 else "run" for i in itertools.count(1))
            run = next(self._folder / name for name in names if not (self._folder / name).exists())
            self._log = self._folder / f"{run.name}_{LOG}"
            self._state, self._is_stopped = "running", False
            self._thread = threading.Thread(target=self._run, args=(run, self._log), name="maskrcnn-training")
            self._thread.start()

    def stop(self) -> None:
        """Ask the run to end, if there is one; it saves a checkpoint first."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.terminate()

    def close(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        if self._thread is not None:
            self._thread.join(STOPS_WITHIN_S)
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def shown(self) -> dict[str, Any]:
        """State, and the last lines that the commands have said."""
        return {"state": self._state, "lines": _tail(self._log) if self._log is not None else []}

    def _run(self, run: Path, log: Path) -> None:
        status = 0
        with log.open("wb") as output:
            for command in self._commands(run):
                with self._lock:
                    if self._is_stopped:
                        break
                    self._process = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=_environment()
                    )
                status = self._process.wait()
                with self._lock:
                    self._process = None
                if status:
                    break
        self._state = "stopped" if self._is_stopped else "failed" if status else "done"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONUNBUFFERED": "1"}


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [printable(line.rsplit("\r", 1)[-1]) for line in text.replace("\r\n", "\n").split("\n")]
    return [line for line in lines if line.strip()][-TAIL_LINES:]
