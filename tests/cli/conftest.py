"""A checkpoint, pictures, and a command line that gives back what the user sees."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from maskrcnn.cli.main import run_tool
from tests.coco_files import write_checkpoint
from tests.tiny import scene


@dataclass(frozen=True)
class Said:
    """What a command line did."""

    status: int
    out: str
    err: str


Tool = Callable[..., Said]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a small model with random weights."""
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *args: str | Path) -> Said:
        status = run_tool(command, [str(arg) for arg in args], prog=f"maskrcnn {command}")
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folder with three pictures, two of one name, and a file that is none."""
    folder = tmp_path / "scans"
    (folder / "deep" / "er").mkdir(parents=True)
    picture, _ = scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))
    Image.fromarray(picture).save(folder / "one.png")
    Image.fromarray(picture[:48]).save(folder / "deep" / "one.png")
    Image.fromarray(picture).convert("L").save(folder / "deep" / "er" / "two.JPG")
    (folder / "notes.txt").write_text("no image")
    return folder
