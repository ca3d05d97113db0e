"""A signal is noted once and ends the run with a checkpoint; a second one acts as it would have without us."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
import torch

from maskrcnn.training import stopping
from maskrcnn.training.stopping import RunStopped, StopRequest

CPU = torch.device("cpu")


@pytest.fixture
def caught() -> Iterator[list[int]]:
    """The signals that reach the handlers which were there before."""
    numbers: list[int] = []
    before = {number: signal.signal(number, lambda n, frame: numbers.append(n)) for number in stopping.SIGNALS}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_the_first_is_noted_and_the_second_acts(
    number: int, caught: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    with StopRequest() as request:
        assert request.agreed(CPU) == 0
        os.kill(os.getpid(), number)
        assert request.agreed(CPU) == number
        assert caught == []
        assert "stopping after this step" in capfd.readouterr().err
        os.kill(os.getpid(), number)
        assert caught == [number]
        assert request.agreed(CPU) == number
    assert str(RunStopped(number)) == f"stopped by {signal.Signals(number).name}"


def test_after_the_block_signals_do_what_they_did(caught: list[int]) -> None:
    with StopRequest() as request:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    assert caught == [signal.SIGTERM]
    assert request.agreed(CPU) == 0


def test_after_an_error_too(caught: list[int]) -> None:
    with pytest.raises(ValueError, match="of the run"), StopRequest():
        raise ValueError("of the run")
    os.kill(os.getpid(), signal.SIGINT)
    assert caught == [signal.SIGINT]


def test_in_another_thread_nothing_is_changed(caught: list[int]) -> None:
    handlers: list[object] = []

    def enter() -> None:
        with StopRequest():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize(
    ("others", "expected"), [([0.0, 0.0], 0), ([1.0, 0.0], signal.SIGINT), ([0.0, 2.0], signal.SIGTERM)]
)
def test_all_processes_stop_for_the_signal_of_one(
    others: list[float], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "world_size", lambda: 3)
    monkeypatch.setattr(stopping, "sum_over_ranks", lambda own: own + torch.tensor(others))
    assert StopRequest().agreed(CPU) == expected


def test_a_process_tells_the_others_its_own(caught: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[float]] = []
    monkeypatch.setattr(stopping, "world_size", lambda: 2)
    monkeypatch.setattr(stopping, "sum_over_ranks", lambda own: told.append(own.tolist()) or own)
    with StopRequest() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.agreed(CPU) == signal.SIGTERM
    assert told == [[0.0, 1.0]]
