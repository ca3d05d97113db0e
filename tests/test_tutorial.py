"""Every command of the tutorial is run, in its order, on a small folder as LabelMe leaves it."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

import maskrcnn
from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.cli import check_dataset, convert_dataset, evaluate, infer, train
from maskrcnn.cli.main import run_tool
from maskrcnn.data.loading import Batch
from maskrcnn.data.problems import MEANINGS
from maskrcnn.training.step import TrainingStep
from maskrcnn.training.trainer import saved_config
from tests.tiny import Shape, scene

ROOT = Path(__file__).parent.parent
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SIZE = (64, 80)
NUM_PICTURES = 8
NUM_NEW = 2
CLASS_NAMES = {"square": "date", "disc": "fig"}
SHORTER = {
    "shortest_edge: 384, longest_edge: 640": "shortest_edge: 64, longest_edge: 96",
    "steps: 300": "steps: 2",
    "batch_size: 4": "batch_size: 2",
    "warmup_steps: 50": "warmup_steps: 1",
    "evaluate_every: 50": "evaluate_every: 1",
    "checkpoint_every: 50": "checkpoint_every: 1",
    "workers: 1": "workers: 0",
}

needs_weights = pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TUTORIAL, re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    """Tool and arguments of each command, in order."""
    lines = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    assert all(words[0] == "python" and (ROOT / words[1]).is_file() for words in lines)
    return [(Path(words[1]).stem, words[2:]) for words in lines]


def outline(kind: str, x0: int, y0: int, side: int) -> list[list[float]]:
    """Corners of a square; of a disc the four points of its diamond, which is near enough for a test."""
    if kind == "square":
        return [[x0, y0], [x0 + side, y0], [x0 + side, y0 + side], [x0, y0 + side]]
    half = side / 2
    return [[x0 + half, y0], [x0 + side, y0 + half], [x0 + half, y0 + side], [x0, y0 + half]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with nuts/, pictures and a JSON file beside each, the last without objects, and new/."""
    monkeypatch.chdir(tmp_path)
    for i in range(NUM_PICTURES + NUM_NEW):
        shapes: list[Shape] = [("square", 6 + i, 8, 20), ("disc", 44, 34 - i, 24)] if i < NUM_PICTURES - 1 else []
        path = tmp_path / ("nuts" if i < NUM_PICTURES else "new") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(scene(shapes, SIZE)[0]).save(path)
        outlines = [
            {
                "label": CLASS_NAMES[kind],
                "points": outline(kind, x0, y0, side),
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
            }
            for kind, x0, y0, side in shapes
        ]
        content = {"version": "5.5.0", "flags": {}, "imagePath": path.name, "imageData": None, "shapes": outlines}
        if i < NUM_PICTURES:
            size = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
            path.with_suffix(".json").write_text(json.dumps(content | size), encoding="utf-8")
    return tmp_path


def write_configuration(folder: Path) -> None:
    """mine.yaml as the tutorial has it, for pictures and patience of a test."""
    (text,) = blocks("yaml")
    for long, short in SHORTER.items():
        assert long in text
        text = text.replace(long, short)
    (folder / "mine.yaml").write_text(text, encoding="utf-8")


def interrupt(monkeypatch: pytest.MonkeyPatch, at_step: int) -> None:
    """Ctrl-C in the middle of a step."""
    real_step = TrainingStep.__call__

    def step(self: TrainingStep, batch: Batch, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        if step == at_step:
            raise KeyboardInterrupt
        return real_step(self, batch, optimizer, step)

    monkeypatch.setattr(TrainingStep, "__call__", step)


def names_in(path: str) -> set[str]:
    return {image["file_name"] for image in json.loads(Path(path).read_text(encoding="utf-8"))["images"]}


@needs_weights
def test_the_tutorial_from_start_to_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(folder)
    steps = commands()
    assert [tool for tool, _ in steps] == ["check_dataset", "convert_dataset", "train", "train", "evaluate", "infer"]
    checking, converting, training, resuming, evaluating, counting = steps

    assert run_tool(*checking) == 0
    assert Path("check/report.html").is_file()
    assert "problems.csv" in capsys.readouterr().out

    assert run_tool(*converting) == 0
    assert "nuts: format labelme" in capsys.readouterr().out
    assert len(names_in("nuts_train.json") | names_in("nuts_val.json")) == NUM_PICTURES  # the empty one too

    with monkeypatch.context() as patched:
        interrupt(patched, at_step=2)
        assert run_tool(*training) == 130
    assert "classes kept: none; new: date, fig" in capsys.readouterr().out
    assert run_tool(*resuming) == 0
    assert "resuming run at step 1 of 2" in capsys.readouterr().out
    for part in ("train", "val"):
        assert names_in(f"run/data/{part}.json") == names_in(f"nuts_{part}.json")
    for name in re.findall(r"`([\w./]+)`", TUTORIAL.split("The folder `run/` holds")[1].split("\n## ")[0]):
        assert (folder / "run" / name).exists() or name == "resume", name

    assert run_tool(*evaluating) == 0
    assert "counter.safetensors: the same weights with a score threshold of" in capsys.readouterr().out
    assert Path("judged/report.html").is_file()
    rules = maskrcnn.Predictor("counter.safetensors", device="cpu").settings
    assert (rules.detection.exclusive_classes, rules.class_names) == ("all", ("date", "fig"))

    assert run_tool(*counting) == 0
    with Path("found/counts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ends = [f"{name}_{end}" for name in ("date", "fig", "total") for end in ("low", "high")]
    columns = ["file", "page", "date", "fig", "total", *ends, "check_order", "status"]
    assert [list(row) for row in rows] == [columns] * NUM_NEW
    assert Path("found/instances.json").is_file()
    assert len(list(Path("found").glob("*_instances.png"))) == NUM_NEW

    capsys.readouterr()
    (code,) = blocks("python")
    exec(code, {})
    assert len(capsys.readouterr().out.splitlines()) == NUM_NEW


def test_errors_in_the_data_are_said_in_its_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {i: json.loads(Path(f"nuts/{i}.json").read_text(encoding="utf-8")) for i in (0, 3)}
    contents[0]["shapes"] = [contents[0]["shapes"][0]] * 4
    contents[0]["shapes"][3] = contents[0]["shapes"][3] | {"points": [[1, 2], [3, 4]]}
    contents[3]["imagePath"] = "3old.jpg"
    for i, content in contents.items():
        Path(f"nuts/{i}.json").write_text(json.dumps(content), encoding="utf-8")
    (said,) = (block for block in blocks("text") if block.startswith("error"))
    assert run_tool(*commands()[0]) == 1
    assert said in capsys.readouterr().out


def test_every_kind_of_problem_it_names_is_one() -> None:
    table = TUTORIAL.split("| it says | what to do |")[1].split("\n\n")[0]
    kinds = {kind for row in table.splitlines()[2:] for kind in re.findall(r"`([a-z-]+)`", row.split("|")[1])}
    assert len(kinds) > 5
    assert kinds <= set(MEANINGS), kinds - set(MEANINGS)


def test_its_configuration_is_what_the_text_says(folder: Path) -> None:
    (text,) = blocks("yaml")
    folder.joinpath("config.yaml").write_text(text, encoding="utf-8")
    settings = saved_config(folder).train
    assert (settings.steps, settings.best_by, settings.patience) == (300, "count_mae", 4)


def test_every_option_it_names_is_one() -> None:
    known = {"--nproc-per-node"}
    for tool in (check_dataset, convert_dataset, evaluate, infer, train):
        known |= {option for action in tool.build_parser()._actions for option in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TUTORIAL))
    assert named <= known, named - known


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TUTORIAL):
        assert (ROOT / "docs" / target).exists(), target
