import importlib.metadata

import pytest
import torch

from maskrcnn.prediction import machine_checks
from maskrcnn.prediction.machine_checks import Check, checks

HEADINGS = ["maskrcnn", "system", "packages", "GPU", "threads", "multiplies", "memory", "downloads", "extras"]


def said(name: str) -> Check:
    """The check of that name, of those that take no time."""
    with pytest.MonkeyPatch.context() as without:
        without.setattr(machine_checks, "_answer", lambda: iter(()))
        return next(check for check in checks() if check.name == name)


def test_this_machine_gives_the_stored_answer() -> None:
    found = list(checks())
    assert [check.name for check in found] == [*HEADINGS, "answer", "speed"]
    assert found[-2].verdict == "ok", found[-2]
    assert "as stored" in found[-2].found
    assert "GFLOP/s" in found[-1].found
    assert all(check.advice for check in found if check.verdict != "ok")


def test_another_answer_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "_speed", lambda *_: Check("speed", "ok", ""))
    num, total = machine_checks.SAMPLE_ANSWER
    for answer in ((num + 1, total), (num, total + 0.1)):
        monkeypatch.setattr(machine_checks, "SAMPLE_ANSWER", answer)
        check = next(iter(machine_checks._answer()))
        assert check.verdict == "wrong"
        assert f"{num} nuclei" in check.found
        assert f"expected {answer[0]} and {answer[1]:.2f}" in check.found


def test_weights_that_are_damaged_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("nuclei.safetensors: not the file that was published")

    monkeypatch.setattr(machine_checks, "Predictor", fail)
    (check,) = machine_checks._answer()
    assert check.verdict == "wrong"
    assert check.found.endswith("not the file that was published")
    assert check.advice == "install the package again"


@pytest.mark.parametrize(("threads", "cores", "verdict"), [(4, 4, "ok"), (1, 4, "note"), (8, 4, "wrong")])
def test_threads(monkeypatch: pytest.MonkeyPatch, threads: int, cores: int, verdict: str) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(machine_checks, "num_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    check = said("threads")
    assert check.verdict == verdict
    assert check.found.startswith(f"{threads} of {cores} cores are used")
    assert ("OMP_NUM_THREADS is 7" in check.found) == (verdict == "note")


def test_memory_that_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "memory_bytes", lambda: 4 * 2.0**30)
    monkeypatch.setattr(machine_checks, "free_bytes", lambda: 2**30)
    assert said("memory") == Check(
        "memory", "note", "1.0 GiB free of 4.0", "end other programs; a picture of 200 megapixels takes 2 GB"
    )


def test_extras_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    required = [
        "numpy>=1",
        'one-there; extra == "half"',
        'none-there>=2; extra == "half"',
        "one-there; extra == 'whole'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: required)
    monkeypatch.setattr(machine_checks, "_version", lambda name: "1" if name == "one-there" else None)
    assert said("extras").found.startswith("there: whole; not there: half (")


def test_two_versions_of_opencv_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "_version", lambda _: "1")
    assert said("OpenCV").verdict == "note"
