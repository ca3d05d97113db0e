"""The tool that says where the time of a training step goes."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

from maskrcnn.config import Config, validate
from maskrcnn.data.reading import load_annotations
from maskrcnn.training.trainer import Trainer
from tests.coco_files import SMALL, TRAIN_SCENES, write_coco
from tests.tiny import tiny_settings
from tools import profile_training
from tools.profile_training import REST, WAITING, Stopwatch, main, places_of_step, time_steps


def settings() -> dict[str, object]:
    """A run that has every part."""
    train = {"steps": 90, "batch_size": 2, "learning_rate": 0.001, "workers": 0, "average_decay": 0.9}
    train |= {"clip_gradient_norm": 1.0, "augment": {"crop": 48, "copy_paste": 1.0}}
    return {"model": tiny_settings("maskrcnn", **SMALL).model_dump(mode="json"), "train": train}


def test_a_part_is_without_the_parts_inside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # The outer part goes from 0 to 10, two inner ones inside it from 1 to 3 and from 4 to 8.
    ticks = iter([0.0, 1.0, 3.0, 4.0, 8.0, 10.0])
    monkeypatch.setattr(profile_training, "now", lambda _: next(ticks))
    watch = Stopwatch(torch.device("cpu"))
    inner = watch.timed("inner", lambda: None)
    watch.timed("outer", lambda: (inner(), inner()))()
    assert watch.row(12.0) == {"inner": 6.0, "outer": 4.0, REST: 2.0}
    assert watch.row(1.0) == {REST: 1.0}


def test_every_part_of_a_step_is_timed_and_nothing_stays_changed(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "train", TRAIN_SCENES)
    data = load_annotations(path, tmp_path / "images")
    trainer = Trainer(validate(Config, settings(), "test"), data, None, tmp_path / "run")
    before = [getattr(owner, name) for places in places_of_step(trainer).values() for owner, name in places]
    rows = time_steps(trainer, 2, Stopwatch(trainer.device), warm_up=1)
    after = [getattr(owner, name) for places in places_of_step(trainer).values() for owner, name in places]
    assert before == after
    assert trainer.progress.step == 3
    assert len(rows) == 2
    for row in rows:
        assert set(row) == {WAITING, REST, *places_of_step(trainer)}
        assert all(seconds > 0 for seconds in row.values())


def test_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_coco(tmp_path, "train", TRAIN_SCENES)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings()))
    words = ["--annotations", path, "--images", tmp_path / "images", "--config", tmp_path / "config.yaml"]
    words += ["--steps", 1, "--device", "cpu", "--trace", tmp_path / "trace.json"]
    monkeypatch.setattr(sys, "argv", ["profile_training.py", *map(str, words)])
    assert main() == 0
    printed = capsys.readouterr().out
    assert "2 images a step, 0 workers" in printed
    for part in ("backbone", "backward", "optimizer", "read the masks", "RandomCrop", "paste objects"):
        (line,) = [line for line in printed.splitlines() if line.startswith(f"{part}  ")]
        assert line.endswith("%")
    assert '"backbone"' in (tmp_path / "trace.json").read_text()
