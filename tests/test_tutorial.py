"""Every command of the tutorial is run, in its order, on made-up data."""

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from maskrcnn.cli.main import run_tool
from maskrcnn.engine.weights import shipped_weights
from tests.tiny import scene

ROOT = Path(__file__).parent.parent
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SHORTENED = {"train": ["--steps", "2", "--batch", "2", "--device", "cpu"], "evaluate": ["--device", "cpu"]}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TUTORIAL, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the LabelMe set, new pictures and the configuration that the tutorial speaks of."""
    monkeypatch.chdir(tmp_path)
    for name in ("seeds", "new", "configs"):
        (tmp_path / name).mkdir()
    for i in range(8):
        picture, _ = scene([("square", 6 + i, 8, 20), ("disc", 34, 30, 24)], (64, 64))
        Image.fromarray(picture).save(f"seeds/{i}.png")
        points = [[6 + i, 8], [26 + i, 8], [26 + i, 28], [6 + i, 28]]
        shapes = [
            {"label": "seed", "points": points, "shape_type": "polygon", "group_id": None},
            {"label": "stone", "points": [[46, 42], [58, 42]], "shape_type": "circle", "group_id": None},
        ]
        content = {"version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": f"{i}.png", "imageData": None}
        Path(f"seeds/{i}.json").write_text(json.dumps({**content, "imageHeight": 64, "imageWidth": 64}))
    for name in "ab":
        Image.fromarray(scene([("square", 10, 10, 20)], (64, 64))[0]).save(f"new/{name}.png")
    config = (ROOT / "configs" / "nuts.yaml").read_text(encoding="utf-8")
    Path("configs/nuts.yaml").write_text(config.replace("shortest_edge: 320", "shortest_edge: 64"))
    return tmp_path


@pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")
def test_every_command_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    assert [Path(command[1]).stem for command in commands] == ["check_dataset", "train", "evaluate", "infer"]
    for _, tool, *arguments in commands:
        name = Path(tool).stem
        assert run_tool(name, [*arguments, *SHORTENED.get(name, [])]) == 0, name
    said = capsys.readouterr().out
    assert "good: no problem found" in said
    assert "classes kept: none; new: seed, stone" in said
    assert len(Path("counted/counts.csv").read_text().splitlines()) == 3
    for report in ("check", "run/evaluation", "judged"):
        assert (folder / report / "report.html").is_file()
    (code,) = blocks("python")
    exec(code, {})
    assert "new/a.png {'seed': " in capsys.readouterr().out


def test_the_names_of_settings_are_true() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "maskrcnn" / "config").glob("*.py"))
    for name in re.findall(r"`(?:train|detection)\.(\w+)", TUTORIAL):
        assert re.search(rf"^    {name}: ", sources, re.MULTILINE), name
