"""`maskrcnn serve`: what it says, who it lets in, and mistakes on its command line."""

import importlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from maskrcnn.cli.serve import address_of, build_parser, door_of, train_commands
from maskrcnn.serve.app import REFUSALS
from maskrcnn.serve.desk import LOWEST_SCORE
from maskrcnn.serve.limits import Limits
from tests.cli.conftest import Tool


def test_only_this_machine_needs_no_token():
    parser = build_parser()
    assert door_of(parser.parse_args([])).token is None
    assert door_of(parser.parse_args(["--token", "a" * 16])).token == "a" * 16
    for host in ("0.0.0.0", "192.168.0.7", "::"):
        door, again = (door_of(parser.parse_args(["--host", host])) for _ in range(2))
        assert door.token is not None
        assert len(door.token) == 32
        assert door.token != again.token
        assert door.knows_host("192.168.0.7:8000")
        assert not door.knows_host("evil.com")


def test_further_names():
    door = door_of(build_parser().parse_args(["--allow-host", "Cells.Lab"]))
    assert door.knows_host("cells.lab:443")
    assert not door.knows_host("192.168.0.7")


def test_the_address_is_one_to_open():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening, "127.0.0.1") == f"http://127.0.0.1:{port}"
        assert address_of(listening, "::1") == f"http://[::1]:{port}"
        assert address_of(listening, "0.0.0.0") == f"http://{socket.gethostname()}:{port}"


@pytest.mark.extra
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--token", "short"], "--token: expected at least 16 letters and digits"),
        (["--token", "a" * 15 + ";"], "--token: expected at least 16 letters and digits"),
        (["--max-waiting", "0"], "max_waiting: expected more than 0, got 0"),
        (["--port", "70000"], "cannot listen at 127.0.0.1, port 70000"),
        (["--host", "256.1.1.1"], "cannot listen at 256.1.1.1"),
    ],
)
def test_mistakes_are_one_sentence(tool: Tool, args: list[str], sentence: str):
    pytest.importorskip("fastapi")
    said = tool("serve", "--no-browser", *args)
    assert said.status == 1
    assert sentence in said.err
    assert said.err.count("\n") == 1


@pytest.mark.extra
def test_a_port_that_is_taken(tool: Tool):
    pytest.importorskip("fastapi")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = tool("serve", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert said.status == 1
    assert "--port 0 takes a free one" in said.err


def test_the_extra_is_named(tool: Tool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = tool("serve", "--no-browser")
    assert said.status == 1
    assert 'pip install "maskrcnn[web]"' in said.err


@pytest.mark.extra
def test_it_serves_until_it_is_interrupted(tmp_path: Path, weights: Path):
    pytest.importorskip("fastapi")
    command = [sys.executable, "-m", "maskrcnn", "serve", "--no-browser", "--port", "0", "--weights", str(weights)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("serving at "))
            with urllib.request.urlopen(f"{line.split()[2]}/health") as answer:
                assert json.load(answer)["status"] == "ok"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "stopped" in out
    assert err == ""


PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_document_shows_the_command_that_trains():
    train, _ = train_commands(Path("corrections"), None, Path("corrections/run"))
    assert shlex.join(train[2:]) in PAGE


def test_the_commands_that_train_are_ones_that_there_are():
    for python, _, _, command, *args in train_commands(Path("corrections"), "coco", Path("corrections/run")):
        assert python == sys.executable
        importlib.import_module(f"maskrcnn.cli.{command}").build_parser().parse_args(args)


def test_the_document_states_the_limits_that_hold():
    limits = Limits()
    stated = {
        f"{limits.max_bytes >> 20} MiB (`--max-bytes`)",
        f"{limits.max_pixels // 10**6} megapixels (`--max-pixels`)",
        f"{limits.max_waiting} requests wait already (`--max-waiting`)",
        f"fill {limits.max_waiting_bytes >> 20} MiB",
        "within two minutes (`--timeout`)",
        f"score of {LOWEST_SCORE}",
    }
    assert [text for text in stated if text not in PAGE] == []
    assert limits.answer_timeout_s == 120
    assert limits.body_timeout_s == 60


def test_the_document_names_every_refusal_and_option():
    rows = set(re.findall(r"^\| (4\d\d|5\d\d) \|", PAGE, re.MULTILINE))
    assert rows == {str(status) for status in REFUSALS}
    known = {option for action in build_parser()._actions for option in action.option_strings}
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= known | {"--export"}
