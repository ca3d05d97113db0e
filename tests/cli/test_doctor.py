import pytest

from maskrcnn.cli import doctor
from maskrcnn.cli.main import main
from maskrcnn.prediction.machine_checks import Check


@pytest.mark.parametrize("num_wrong", [0, 1, 2])
def test_what_is_wrong_is_said_with_advice_and_by_the_status(
    num_wrong: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [Check("answer", "wrong", "59 nuclei", "report it")] * num_wrong
    notes = [Check("memory", "note", "1 GiB free", "end other programs")]
    monkeypatch.setattr(doctor, "checks", lambda: iter([Check("system", "ok", "Python 3"), *notes, *wrong]))
    assert main(["doctor"]) == bool(num_wrong)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "  ok  system       Python 3",
        "note  memory       1 GiB free",
        "                   -> end other programs",
    ]
    assert lines[3:-1] == ["!!!!  answer       59 nuclei", "                   -> report it"] * num_wrong
    assert lines[-1] == {0: "nothing is wrong", 1: "1 thing wrong", 2: "2 things wrong"}[num_wrong]
