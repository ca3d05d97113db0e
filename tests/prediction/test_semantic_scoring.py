"""Semantic weights judged on annotations of pixels and of objects, from Python and from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

import maskrcnn
from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.checkpoints.semantic_weights import save_semantic_weights
from maskrcnn.cli.main import run_tool
from maskrcnn.config import SemanticSettings, validate
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation
from maskrcnn.evaluation.semantic_scores import semantic_scores
from maskrcnn.prediction.map_objects import MapObjects
from tests.class_sets import NAMES, make_scene, write_class_set
from tests.coco_files import VAL_SCENES, write_coco


def weights(path: Path, *names: str) -> Path:
    background = "background" if "background" in names else None
    values = {"network": {"channels": 2, "levels": 2}, "class_names": names, "background": background}
    settings = validate(SemanticSettings, values, "test")
    save_semantic_weights(path, build_semantic(settings).body.state_dict(), settings, {"made": "here"})
    return path


def test_scores_are_those_of_the_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = write_class_set(tmp_path / "set", {"val": range(3)})
    file = weights(tmp_path / "unet.safetensors", *NAMES)
    found = maskrcnn.evaluate(file, data, device="cpu")
    assert isinstance(found, SemanticEvaluation)
    predictor = maskrcnn.SemanticPredictor(file, device="cpu")
    scenes = [make_scene(number) for number in range(3)]
    expected = semantic_scores([(labels, predictor(image).class_idx) for image, labels in scenes], NAMES)
    assert found.score.iou == expected.iou
    assert np.array_equal(found.score.confusion, expected.confusion)
    arguments = ["--annotations", str(data), "--weights", str(file), "--out", str(tmp_path / "out")]
    assert run_tool("evaluate", [*arguments, "--format", "class-images", "--tile", "40"]) == 0
    assert "mean IoU" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out/evaluation.json").read_text())["images"]) == 3
    assert (tmp_path / "out/report.html").is_file()
    assert run_tool("evaluate", [*arguments, "--group-by", "x"]) == 1
    assert "--group-by is about objects" in capsys.readouterr().err
    # The map and the overlay of every image, by the same weights.
    images = str(data / "val/images")
    assert run_tool("infer", [images, "--weights", str(file), "--out", str(tmp_path / "maps"), "--tile", "40"]) == 0
    assert len(list((tmp_path / "maps").glob("*_semantic.png"))) == 3


def test_objects_are_judged_as_pixels_or_as_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write_coco(tmp_path, "val", VAL_SCENES)
    network = weights(tmp_path / "unet.safetensors", "background", "square", "disc")
    options = {"images": tmp_path / "images"}
    pixels = maskrcnn.evaluate(network, file, **options)
    assert isinstance(pixels, SemanticEvaluation)
    assert pixels.class_names == ("background", "square", "disc")
    other = weights(tmp_path / "other.safetensors", "background", "square")
    with pytest.raises(ValueError, match="has the class disc, which is none of background, square"):
        maskrcnn.evaluate(other, file, **options)
    arguments = ["--annotations", str(file), "--images", str(tmp_path / "images"), "--as-objects"]
    assert run_tool("evaluate", [*arguments, "--weights", "nuclei"]) == 1
    assert "--as-objects is for weights that give a class for every pixel" in capsys.readouterr().err
    assert run_tool("evaluate", [*arguments, "--weights", str(network)]) == 0
    assert "mask score TP / (TP + FP + FN)" in capsys.readouterr().out
    found = maskrcnn.evaluate(MapObjects(maskrcnn.SemanticPredictor(network)), file, **options)
    assert isinstance(found, Evaluation)
    assert found.class_names == ("square", "disc")
    compared = maskrcnn.compare(file, tmp_path / "images", ["otsu"], [network])
    assert [row.name for row in compared.contestants] == ["otsu", "unet.safetensors"]
