"""With commands that do as they are told in the place of training."""

import sys
import time
from pathlib import Path

import pytest

from maskrcnn.serve.limits import RefusedError
from maskrcnn.serve.training import Training

WAITS = "import sys, time; print('begun', flush=True); time.sleep(60)"


def ended(training: Training) -> dict:
    """What is shown at the end."""
    for _ in range(3000):
        shown = training.shown()
        if shown["state"] != "running":
            return shown
        time.sleep(0.01)  # until it has ended
    raise AssertionError("it did not end")


def test_a_failure_ends_the_run(tmp_path: Path):
    code = "print('one\\rtwo'); print('\\x1b[2J'); raise SystemExit(3)"
    training = Training(tmp_path, lambda run: [[sys.executable, "-c", code], [sys.executable, "-c", "print('never')"]])
    assert training.shown() == {"state": "none", "lines": []}
    training.start()
    assert ended(training) == {"state": "failed", "lines": ["two", "\\x1b[2J"]}


def test_one_at_a_time_and_stopped_when_asked(tmp_path: Path):
    training = Training(tmp_path, lambda run: [[sys.executable, "-c", WAITS]] * 2)
    training.start()
    with pytest.raises(RefusedError, match="going on already") as refused:
        training.start()
    assert refused.value.status == 409
    while "begun" not in training.shown()["lines"]:
        time.sleep(0.01)  # until the command says so
    training.close()
    assert training.shown() == {"state": "stopped", "lines": ["begun"]}


def test_a_long_output_is_cut(tmp_path: Path):
    training = Training(tmp_path, lambda run: [[sys.executable, "-c", "print('x' * 99, *range(99999), sep='\\n')"]])
    training.start()
    lines = ended(training)["lines"]
    assert len(lines) == 60
    assert lines[-1] == "99998"
