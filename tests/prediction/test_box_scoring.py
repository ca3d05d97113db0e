"""Masks in true boxes, judged."""

from pathlib import Path

import numpy as np
import pytest

from maskrcnn.checkpoints.checkpoint import Checkpoint, save_checkpoint
from maskrcnn.cli.main import run_tool
from maskrcnn.data.reading import load_annotations
from maskrcnn.prediction.box_scoring import BoxScore, masks_in_true_boxes
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.structures.rle import decode
from tests.coco_files import VAL_SCENES, write_coco
from tests.tiny import CLASS_NAMES, tiny_model, tiny_settings


def test_every_object_is_judged_in_its_own_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    settings = tiny_settings()
    state = tiny_model().state_dict()
    predictor = Predictor(Checkpoint(settings, state, {}), device="cpu")
    file = write_coco(tmp_path, "val", VAL_SCENES)
    table = load_annotations(file, tmp_path / "images")
    score = masks_in_true_boxes(predictor, table)
    assert score.num_images == len(table)
    assert score.class_names == CLASS_NAMES
    # An obvious version: one object at a time.
    expected = []
    for index in range(len(table)):
        for row in table.rows(index).tolist():
            true, box = decode(table.rle(row)), table.corners(np.array([row]))
            found = predictor.masks_for(table.read(index), box, [CLASS_NAMES[table.labels[row]]]).bitmaps()[0]  # pyright: ignore
            expected.append((found & true).sum() / (found | true).sum())
    assert score.iou == pytest.approx(np.array(expected), abs=1e-6)
    save_checkpoint(tmp_path / "tiny.safetensors", state, settings, {})
    arguments = ["--annotations", str(file), "--images", str(tmp_path / "images"), "--given-boxes", "--device", "cpu"]
    assert run_tool("evaluate", [*arguments, "--weights", str(tmp_path / "tiny.safetensors")]) == 0
    assert score.table() in capsys.readouterr().out
    assert run_tool("evaluate", [*arguments, "--method", "otsu"]) == 1
    assert "--given-boxes: expected weights that find objects" in capsys.readouterr().err


def test_the_table_on_paper():
    score = BoxScore(np.array([1.0, 0.5, 0.3]), np.array([0, 0, 1]), ("a", "b", "c"), 2)
    rows = [line.split() for line in score.table().splitlines()[2:]]
    assert rows == [
        ["all", "3", "0.600", "0.500", "66.7%", "33.3%"],
        ["a", "2", "0.750", "0.750", "100.0%", "50.0%"],
        ["b", "1", "0.300", "0.300", "0.0%", "0.0%"],
        ["c", "0", "-", "-", "-", "-"],
    ]
    assert score.mean_iou == pytest.approx(0.6)
