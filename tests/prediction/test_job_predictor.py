"""What instances.json and panoptic.json say of how they were made."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

import maskrcnn
from maskrcnn.data.pages import Reading
from maskrcnn.data.reading import load_annotations
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.job_predictor import info_of
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.report.selection import Selection
from tests.tiny import scene


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(scene([("square", 8, 8, 20), ("disc", 60, 30, 24)], (128, 160))[0]).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_the_weights_the_thresholds_the_version_and_the_tiles_are_said(
    weights: Path, picture: Path, tmp_path: Path
) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu", tile=64, overlap=16, score=0.3)
    selection = Selection(min_area=3)
    infer_files(predictor, [picture], tmp_path / "out", selection=selection, say=lambda _: None)
    document = json.loads((tmp_path / "out" / "instances.json").read_text())
    said = document["info"]["maskrcnn"]
    assert said["version"] == maskrcnn.__version__
    assert said["weights"]["file"] == weights.name
    assert said["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert said["detection"] == predictor.settings.detection.model_dump(mode="json")
    assert said["detection"]["score_threshold"] == 0.3
    assert said["tiling"] == {"tile": 64, "overlap": 16}
    assert said["selection"] == {"min_area": 3, "max_area": None, "exclude_border": False}
    assert said["classes"] == list(predictor.class_names)
    (image,) = document["images"]
    assert image["notes"] == list(predictor(picture).notes)
    assert image["notes"][0].startswith("done in ")
    assert image.get("limits", []) == list(predictor(picture).ceilings)


def test_a_method_is_said_and_where_nothing_is_special_an_image_says_nothing(picture: Path, tmp_path: Path) -> None:
    infer_files(MethodPredictor("otsu"), [picture], tmp_path / "out", say=lambda _: None)
    document = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert document["info"]["maskrcnn"]["method"] == MethodPredictor("otsu").description
    assert set(document["images"][0]) == {"id", "file_name", "width", "height"}


def test_weights_that_are_gone_are_still_named(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    predictor = maskrcnn.Predictor(copy, device="cpu")
    copy.unlink()
    said = info_of(predictor, predictor.class_names, Reading(), None)["maskrcnn"]["weights"]
    assert said == {"file": "copy.safetensors", "network": predictor.description}


def test_files_with_and_without_these_lines_are_read_alike(picture: Path, tmp_path: Path) -> None:
    infer_files(MethodPredictor("otsu"), [picture], tmp_path / "out", say=lambda _: None)
    new = tmp_path / "out" / "instances.json"
    document = json.loads(new.read_text())
    before = load_annotations(new)
    assert len(before.coco["annotations"]) > 0
    for info in ({"description": "Objects found by Mask R-CNN"}, None):
        old = {key: value for key, value in document.items() if key != "info"} | ({"info": info} if info else {})
        (tmp_path / "old.json").write_text(json.dumps(old))
        table = load_annotations(tmp_path / "old.json")
        assert table.coco["annotations"] == before.coco["annotations"]
        assert table.file_names == before.file_names
