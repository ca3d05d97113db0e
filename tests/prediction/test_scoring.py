"""`maskrcnn.evaluate` does from Python what the command does."""

import json
from pathlib import Path

import pytest
import torch

import maskrcnn
from maskrcnn.checkpoints.checkpoint import load_checkpoint
from tests.coco_files import VAL_SCENES, write_checkpoint, write_coco


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny.safetensors")


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "data", "val", VAL_SCENES)


def test_weights_or_a_predictor(tmp_path: Path, weights: Path, annotations: Path) -> None:
    images = annotations.parent / "images"
    evaluation = maskrcnn.evaluate(weights, annotations, images, tmp_path / "out", device="cpu", max_detections=9)
    assert [sum(image.predicted) for image in evaluation.images] == [9, 9]
    assert evaluation.score_threshold == 0.2, "the checkpoint's"
    assert "2 images, 3 objects" in evaluation.table()
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(evaluation.to_dict()))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<title>tiny.safetensors on val.json</title>" in page
    predictor = maskrcnn.Predictor(weights, device="cpu", max_detections=9)
    again = maskrcnn.evaluate(predictor, annotations, images)
    assert again.summary() == evaluation.summary()
    of_checkpoint = maskrcnn.evaluate(load_checkpoint(weights), annotations, images, device="cpu", score=0.3)
    assert of_checkpoint.score_threshold == 0.3


def test_the_predictor_is_left_as_it_was(weights: Path, annotations: Path) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu", score=0.5)
    picture = annotations.parent / "images" / "val_1.png"
    before = predictor(picture)
    maskrcnn.evaluate(predictor, annotations, annotations.parent / "images")
    after = predictor(picture)
    assert predictor.model.box_head.rules.score_threshold == 0.5
    assert torch.equal(before.scores, after.scores)


def test_images_lie_beside_the_annotations_unless_said_otherwise(weights: Path, annotations: Path) -> None:
    moved = annotations.rename(annotations.parent / "images" / annotations.name)
    assert maskrcnn.evaluate(weights, moved, device="cpu").overall.num_images == 2


def test_tuned_weights(tmp_path: Path, weights: Path, annotations: Path) -> None:
    tuned, images = tmp_path / "tuned.safetensors", annotations.parent / "images"
    evaluation = maskrcnn.evaluate(weights, annotations, images, tuned_weights=tuned, device="cpu", max_detections=7)
    settings = load_checkpoint(tuned).settings.detection
    assert settings.score_threshold == evaluation.overall.sweep.best_count.score_threshold
    assert settings.max_detections == 7, "the settings that the threshold was chosen with"
    for wrong, path, message in (
        (weights, tmp_path / "tuned.pth", "ends in .safetensors, got .*tuned.pth"),
        (load_checkpoint(weights), tuned, "by name or file, got ones that are loaded already"),
    ):
        with pytest.raises(ValueError, match=message):
            maskrcnn.evaluate(wrong, annotations, images, tuned_weights=path)


def test_a_predictor_takes_no_options(weights: Path, annotations: Path) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu")
    with pytest.raises(ValueError, match="a predictor has its options already, got score beside it"):
        maskrcnn.evaluate(predictor, annotations, score=0.5)
