"""Scenes from a predictor, and as the files of a job."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskrcnn
from maskrcnn.checkpoints.checkpoint import Checkpoint, save_checkpoint
from maskrcnn.cli.main import main
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.results import draw
from maskrcnn.prediction.scenes import scenes_of
from maskrcnn.report.draw import figure
from maskrcnn.report.draw_panoptic import draw_panoptic
from maskrcnn.report.export.coco_panoptic import read_segments
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.panoptic import Panoptic, rgb_to_ids
from tests.panoptic_set import STUFF, STUFF_IDS, THING_IDS, THINGS, make_scene
from tests.tiny import tiny_model, tiny_settings

BRANCH = {
    "class_names": ("things", *STUFF),
    "category_ids": STUFF_IDS,
    "channels": 32,
    "min_score": 0.06,
    "min_stuff_area": 1,
}


def checkpoint() -> Checkpoint:
    """Random weights, whose every other object is sure enough for the scene."""
    settings = tiny_settings(semantic_head=BRANCH, detection={"score_threshold": 0.05, "max_detections": 20})
    settings = settings.model_copy(update={"class_names": THINGS, "category_ids": THING_IDS})
    return Checkpoint(settings, tiny_model(semantic_head=BRANCH).state_dict(), {})


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(checkpoint(), device="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "photos" / f"{seed}.png" for seed in range(2)]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        Image.fromarray(make_scene(seed)[0]).save(path)
    return paths


def same(one: Panoptic, other: Panoptic) -> bool:
    return np.array_equal(one.ids, other.ids) and one.segments == other.segments


def test_a_predictor_gives_scenes(predictor: Predictor):
    pictures = [make_scene(seed)[0] for seed in range(2)]
    found = predictor(pictures[0])
    scene = predictor.panoptic(pictures[0])
    assert predictor.scenes is not None
    assert same(scene, predictor.scenes(found))
    assert (scene.thing_names, scene.stuff_names) == (THINGS, STUFF)
    assert (scene.ids > 0).any()
    for segment in scene.segments:
        if segment.instance is not None:
            assert segment.score == pytest.approx(float(found.scores[segment.instance]))
            assert segment.label == int(found.labels[segment.instance])
    several = predictor.panoptic(pictures)
    assert same(several[0], scene)
    assert len(several) == 2
    assert "of stuff" in predictor.description
    assert np.array_equal(draw(pictures[0], scene, labels="none"), draw_panoptic(pictures[0], scene, labels=False))
    assert draw(pictures, several, scale=2)[1].shape == (192, 256, 3)
    assert figure(pictures[0], found).shape[1] >= 1000  # drawn larger than the map is


def test_scenes_hold_only_what_is_sure_enough_for_the_result():
    settings = checkpoint().settings
    sure = settings.model_copy(update={"detection": settings.detection.model_copy(update={"score_threshold": 0.7})})
    for one, expected in ((settings, 0.06), (sure, 0.7)):
        scenes = scenes_of(one)
        assert scenes is not None
        assert scenes.rules.min_score == expected
    assert scenes_of(tiny_settings()) is None


def test_what_cannot_be_a_scene_is_refused(predictor: Predictor):
    plain = Predictor(Checkpoint(tiny_settings(), tiny_model().state_dict(), {}), device="cpu")
    with pytest.raises(ValueError, match="these weights know no stuff"):
        plain.panoptic(make_scene(0)[0])
    with pytest.raises(ValueError, match="weights that know stuff see an image whole, so auto or off, got 64"):
        Predictor(checkpoint(), tile=64)
    assert not predictor.needs_tiles((50, 100_000))
    assert predictor.scenes is not None
    with pytest.raises(ValueError, match="a map of the stuff"):
        predictor.scenes(Instances.empty((10, 10), THINGS))


def test_a_job_writes_coco_panoptic_that_is_read_back(predictor: Predictor, photos: list[Path], tmp_path: Path):
    out = tmp_path / "out"
    infer_files(predictor, photos, out)
    scenes = predictor.panoptic(list(photos))
    document = json.loads((out / "panoptic.json").read_text())
    assert document["info"] == json.loads((out / "instances.json").read_text())["info"]
    assert document["info"]["maskrcnn"]["version"] == maskrcnn.__version__
    assert [image["file_name"] for image in document["images"]] == ["0.png", "1.png"]
    assert [one["id"] for one in document["categories"]] == [*THING_IDS, *STUFF_IDS]
    for record, scene in zip(document["annotations"], scenes, strict=True):
        png = out / record["file_name"]
        assert np.array_equal(rgb_to_ids(np.asarray(Image.open(png))), scene.ids)
        assert [s["id"] for s in record["segments_info"]] == [s.id for s in scene.segments]
        assert [s["area"] for s in record["segments_info"]] == [s.area for s in scene.segments]
        assert read_segments(png) == record["segments_info"]
    table = read_dataset(out / "panoptic.json", tmp_path / "photos")["all"]
    assert table.problems == ()
    assert len(table.names) == sum(s.is_thing for scene in scenes for s in scene.segments)
    assert (out / "0_scene.png").is_file()


def test_a_job_goes_on_where_a_scene_is_missing(predictor: Predictor, photos: list[Path], tmp_path: Path):
    out, said = tmp_path / "out", []
    infer_files(predictor, photos, out)
    whole = (out / "panoptic.json").read_bytes()
    (out / "1_panoptic.png").unlink()
    infer_files(predictor, photos, out, say=said.append)
    assert said[0].startswith("done before: 1 of 2")
    assert (out / "panoptic.json").read_bytes() == whole
    (out / "0_scene.png").write_bytes(b"not ours")
    with pytest.raises(FileExistsError, match=r"0_scene\.png"):
        infer_files(predictor, photos, out)


def test_without_drawings_the_segments_are_written(predictor: Predictor, photos: list[Path], tmp_path: Path):
    infer_files(predictor, photos, tmp_path / "out", is_drawn=False)
    written = {name for name in os.listdir(tmp_path / "out") if name.endswith(".png")}
    assert written == {"0_panoptic.png", "1_panoptic.png"}


def test_a_scene_replaces_no_source(predictor: Predictor, photos: list[Path], tmp_path: Path):
    clash = photos[0].rename(photos[0].with_name("1_panoptic.png"))
    with pytest.raises(ValueError, match=r"would replace the image .*1_panoptic\.png"):
        infer_files(predictor, [clash, photos[1]], photos[0].parent, overwrite=True)


def test_the_command_line(photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one = checkpoint()
    save_checkpoint(tmp_path / "weights.safetensors", one.tensors, one.settings, {})
    folder = str(photos[0].parent)
    arguments = ["infer", folder, "--weights", str(tmp_path / "weights.safetensors"), "--device", "cpu"]
    assert main([*arguments, "--out", folder]) == 0
    assert "panoptic.json and its PNGs" in capsys.readouterr().out
    assert main([*arguments, "--out", folder]) == 0  # its own files are not taken for images
    assert "done before: 2 of 2" in capsys.readouterr().out
