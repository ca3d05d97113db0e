"""Cases in child processes: forked from one that has the libraries loaded, with limits on time and memory."""

import os
import pickle
import random
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

CASES_OF_A_CHILD = 50
MAX_MESSAGE = 3000
"""Letters of a sentence; a table of what fitted is the longest."""


class SilentDifferenceError(Exception):
    """Something was read, and it is not what was written or what other readers see."""


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    make: Callable[[Path, random.Random], None]
    """Writes a case into an empty folder."""
    read: Callable[[Path], str]
    """Reads it; gives what came out in few letters, the same every time. Refuses with OSError or ValueError."""
    refusals: tuple[type[Exception], ...] = (OSError, ValueError)
    share: float = 1.0
    """Of the cases that another target gets; less where a case takes long."""


@dataclass(frozen=True)
class Limits:
    """Of one case."""

    seconds: float = 10.0
    """Of the processor's time, so that a busy machine makes no case slow."""
    num_bytes: int = 2 << 30
    waiting_seconds: float = 120.0
    """By the clock: what waits for ever (a pipe, a lock) takes no processor time."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case: read, refused, or a finding: traceback, crash, slow, memory, differs, wordy."""

    index: int
    kind: str
    detail: str = ""
    seconds: float = 0.0
    """Of the processor."""


def run_cases(
    target: Target, indices: Iterable[int], seed: int, limits: Limits, keep: Path | None = None
) -> Iterator[Outcome]:
    """The outcome of each case; `keep` is a folder for the files of findings."""
    torch.set_num_threads(1)  # a process with threads cannot be forked
    waiting = list(indices)
    with tempfile.TemporaryDirectory() as temporary:
        warm = Path(temporary) / "warm"
        warm.mkdir()
        target.make(warm, _random(target, seed, -1))  # what a target makes once is made before the children
        while waiting:
            batch, waiting = waiting[:CASES_OF_A_CHILD], waiting[CASES_OF_A_CHILD:]
            done = _run_child(target, batch, seed, limits, Path(temporary))
            waiting = batch[len(done) :] + waiting
            for outcome in done:
                if keep is not None and outcome.kind not in ("read", "refused"):
                    folder = keep / f"{target.name}-{outcome.index}"
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir(parents=True)
                    target.make(folder, _random(target, seed, outcome.index))
                yield outcome


def _random(target: Target, seed: int, index: int) -> random.Random:
    return random.Random(f"{target.name} {seed} {index}")


def _run_child(target: Target, batch: list[int], seed: int, limits: Limits, folder: Path) -> list[Outcome]:
    """Outcomes of the first cases of `batch`: all of them, or as far as a child came that ended too early."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        try:
            _be_quiet()
            memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (memory + limits.num_bytes, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            for index in batch:
                # Nothing handles these signals: they end the child.
                signal.setitimer(signal.ITIMER_PROF, limits.seconds)
                signal.setitimer(signal.ITIMER_REAL, limits.waiting_seconds)
                outcome = _run_case(target, index, seed, folder)
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
                data = pickle.dumps(outcome)
                os.write(send, struct.pack("<I", len(data)) + data)
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        outcomes = []
        while head := pipe.read(4):
            outcomes.append(pickle.loads(pipe.read(struct.unpack("<I", head)[0])))
    _, status = os.waitpid(child, 0)
    if len(outcomes) < len(batch):
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        limit_of: dict[int, float] = {signal.SIGPROF: limits.seconds, signal.SIGALRM: limits.waiting_seconds}
        seconds = limit_of.get(number, 0.0)
        kind = "slow" if number in limit_of else "crash"
        outcomes.append(Outcome(batch[len(outcomes)], kind, f"signal {number}", seconds))
    return outcomes


def _be_quiet() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _run_case(target: Target, index: int, seed: int, parent: Path) -> Outcome:
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        try:
            target.make(folder, _random(target, seed, index))
        except Exception:
            return Outcome(index, "crash", f"the case could not be made: {traceback.format_exc(limit=-4)}")
        start = time.process_time()
        kind, detail = _read_twice(target, folder)
        return Outcome(index, kind, detail, time.process_time() - start)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_twice(target: Target, folder: Path) -> tuple[str, str]:
    results = []
    for _ in range(2):
        try:
            results.append(("read", target.read(folder)))
        except MemoryError:
            return "memory", traceback.format_exc(limit=-4)
        except target.refusals as error:
            told = str(error)
            if len(told) > MAX_MESSAGE or not told:
                return "wordy", told[:200]
            results.append(("refused", told))
        except SilentDifferenceError as error:
            return "differs", str(error)
        except Exception:
            return "traceback", traceback.format_exc(limit=-4)
    if results[0] != results[1]:
        return "differs", f"{results[0]} and then {results[1]}"
    return results[0][0], results[0][1][-300:]
