"""Two processes that train one model are one process with the whole batch."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from maskrcnn.distributed import gather, is_first, rank, world_size
from tests.coco_files import SMALL, VAL_SCENES, write_coco
from tests.tiny import tiny_settings

ROOT = Path(__file__).parents[2]
# Of two images one is empty, so at every step one process has nothing to learn boxes and masks from.
SCENES = ([("square", 6, 8, 20), ("disc", 34, 30, 24)], [])
TRAIN = {"batch_size": 2, "workers": 0, "warmup_steps": 1, "learning_rate": 0.01, "steps": 4, "evaluate_every": 2}


def rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def test_a_lone_process_is_the_first_of_one() -> None:
    assert (rank(), world_size(), is_first(), gather("x")) == (0, 1, True, ["x"])


def test_two_processes_train_as_one_also_where_an_image_is_empty(tmp_path: Path) -> None:
    write_coco(tmp_path, "train", SCENES)
    write_coco(tmp_path, "val", VAL_SCENES)
    model = tiny_settings("maskrcnn", **SMALL).model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": model, "train": TRAIN}))
    data = ["--train", "train.json", "--val", "val.json", "--images", "images"]
    options = ["--config", "config.yaml", *data, "--device", "cpu", "--out"]
    tool = str(ROOT / "tools" / "train.py")
    launchers = {
        "one": [sys.executable],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    }
    said = {}
    for name, launcher in launchers.items():
        done = subprocess.run(
            [*launcher, tool, *options, name],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said[name] = done.stdout
    assert "on 2 processes of cpu" in said["two"]
    assert said["two"].count("use the model with") == 1
    for one, two in zip(rows(tmp_path / "one" / "losses.csv"), rows(tmp_path / "two" / "losses.csv"), strict=True):
        for loss in ("total", "rpn_objectness", "rpn_box", "class", "box", "mask"):
            assert two[loss] == pytest.approx(one[loss], rel=2e-4), loss
    for one, two in zip(rows(tmp_path / "one" / "metrics.csv"), rows(tmp_path / "two" / "metrics.csv"), strict=True):
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-3)
