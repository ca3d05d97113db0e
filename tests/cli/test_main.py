import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import maskrcnn
import maskrcnn.cli.infer
from maskrcnn.cli.main import COMMANDS, main, run_tool

ROOT = Path(__file__).parent.parent.parent


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, maskrcnn.cli.main as m\ntry: m.main(['--help'])\nfinally: print(sorted(sys.modules))"
    done = python("-c", code)
    assert done.returncode == 0
    assert done.stderr == ""
    for command, sentence in COMMANDS.items():
        assert f"  {command:15} {sentence}\n" in done.stdout
    modules = done.stdout.splitlines()[-1]
    assert "'maskrcnn.cli.main'" in modules
    for slow in ("torch", "numpy", "cv2", "matplotlib", "pydantic"):
        assert f"'{slow}'" not in modules


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        main([command, "--help"])
    assert exit_status.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: maskrcnn {command} ")
    assert re.search(rf"examples?: maskrcnn {command}\b", said)
    assert "--debug" in said
    if "--device" in said:
        assert "cuda:N (default: auto)" in " ".join(said.split())


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["infre"], "no command 'infre'; did you mean infer?"),
        (["zz"], "no command 'zz'; expected one of infer, "),
    ],
)
def test_an_unknown_command(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        main(argv)
    assert exit_status.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (ValueError("a bad value"), 1, "error: a bad value\n"),
        (OSError("no space left"), 1, "error: no space left\n"),
        (RuntimeError("out of memory"), 1, "error: out of memory\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_are_one_sentence(
    error: BaseException,
    status: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(maskrcnn.cli.infer, "execute", fail)
    assert run_tool("infer", []) == status
    assert capsys.readouterr() == ("", sentence)
    assert run_tool("infer", ["--debug"]) == status
    said = capsys.readouterr().err
    assert said.endswith(sentence)
    assert ("Traceback" in said) == (status == 1)


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maskrcnn.cli.infer, "execute", lambda args: {}["key"])
    with pytest.raises(KeyError):
        run_tool("infer", [])


def test_the_tools_are_the_commands() -> None:
    for command in COMMANDS:
        assert f'run_tool("{command}")' in (ROOT / "tools" / f"{command}.py").read_text()


@pytest.mark.parametrize("word", ["check-dataset", "check_dataset", "Check-Dataset"])
def test_a_command_in_any_spelling(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([word, "--help"])
    assert capsys.readouterr().out.startswith("usage: maskrcnn check_dataset ")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        main(["--version"])
    assert exit_status.value.code == 0
    assert capsys.readouterr().out == f"maskrcnn {maskrcnn.__version__}\n"


def test_public_names_are_seen_before_they_are_used() -> None:
    done = python("-c", "import sys, maskrcnn; print(dir(maskrcnn)); print('torch' in sys.modules); help(maskrcnn)")
    names, is_torch_there, *page = done.stdout.splitlines()
    assert is_torch_there == "False"
    for name in maskrcnn.__all__:
        assert f"'{name}'" in names
        assert getattr(maskrcnn, name).__name__ == name
    text = "\n".join(page)
    assert "class Predictor(" in text
    assert "Finds the objects in images" in text
    assert "draw(" in text
    assert (Path(maskrcnn.__file__).parent / "py.typed").is_file()


def test_packages_that_do_not_fit_together_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError(f"operator torchvision::nms does not exist ({name})")

    monkeypatch.setattr(importlib, "import_module", fail)
    assert main(["infer", "a.png"]) == 1
    said = capsys.readouterr().err
    assert "does not load: operator torchvision::nms does not exist (maskrcnn.cli.infer)\n" in said
    assert "install both together" in said
