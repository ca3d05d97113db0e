"""What docs/films.md shows is run, on a small film of nuclei."""

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.cli.main import run_tool
from maskrcnn.data.sample_picture import draw_sample

PAGE = (Path(__file__).parent.parent / "docs" / "films.md").read_text(encoding="utf-8")
NUM = 6

pytestmark = pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files the page speaks of: nuclei that move to the right."""
    monkeypatch.chdir(tmp_path)
    picture, _ = draw_sample((96, 160))
    frames = [picture[:, 10 * t : 10 * t + 100] for t in range(NUM)]
    writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (100, 96))
    Path("frames").mkdir()
    for t, frame in enumerate(frames):
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
        if t < 3:
            cv2.imwrite(f"frames/{t}.png", frame)
    writer.release()
    tifffile.imwrite("film.tif", np.stack(frames[:3])[..., 0], imagej=True, metadata={"axes": "TYX"})
    return tmp_path


def test_commands(folder: Path):
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(lines) == 5
    for _, tool, *arguments in lines:
        files = [str(path) for path in sorted(Path().glob(arguments[0]))]
        assert run_tool(tool, [*files, *arguments[1:]]) == 0
    assert len(Path("part/counts_over_time.csv").read_text().splitlines()) == 1 + 2
    assert len(Path("sequence/counts_over_time.csv").read_text().splitlines()) == 1 + 3
    assert Path("pages/film_instances.mp4").is_file()
    names = re.findall(r"^\| `([a-z_.]+)`", PAGE, re.MULTILINE)
    assert "tracks.csv" in names
    for name in [*names, "clip_instances.mp4", "counts_over_time.png"]:
        assert Path("out", name).is_file(), name


def test_python(folder: Path, capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert len(capsys.readouterr().out.splitlines()) == NUM + 1
