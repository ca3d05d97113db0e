"""`infer --boxes`: the objects in given boxes, and the row of a box that cannot be used."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.cli.main import run_tool
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.prediction.predictor import Predictor

pytestmark = pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    image, _ = draw_sample((96, 128))
    for name in ("a", "b", "c"):
        Image.fromarray(image).save(tmp_path / f"images/{name}.png")
    return tmp_path / "images"


def infer(images: Path, boxes: Path, out: Path, *more: str) -> int:
    return run_tool("infer", [str(images), "--boxes", str(boxes), "--out", str(out), "--device", "cpu", *more])


def test_masks_are_those_of_the_library_and_other_images_are_done(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    predictor = Predictor(device="cpu")
    found = predictor(images / "a.png")[:2]
    rows = [f"a.png,{','.join(f'{value:.2f}' for value in box)}" for box in found.boxes.tolist()]
    (tmp_path / "boxes.csv").write_text("\n".join([*rows, "b.png,10,10,30,30,nucleus", "c.png,5,5,200,20"]))
    assert infer(images, tmp_path / "boxes.csv", tmp_path / "out") == 1  # for the box of c.png
    error = capsys.readouterr().err
    sentence = "line 4: the box (x0 y0 x1 y1 = 5 5 200 20) leaves the image of 128 x 96 px"
    assert f"c.png: {tmp_path / 'boxes.csv'}, {sentence}" in error.replace("failed: ", "")
    content = json.loads((tmp_path / "out/instances.json").read_text())
    numbers = {image["id"]: image["file_name"] for image in content["images"]}
    boxes = [(numbers[one["image_id"]], one["bbox"]) for one in content["annotations"]]
    assert [name for name, _ in boxes] == ["a.png", "a.png", "b.png"]
    given = np.round(found.boxes.numpy(), 2)
    again = predictor.masks_for(images / "a.png", given)
    assert [one["area"] for one in content["annotations"]][:2] == again.areas().tolist()  # pyright: ignore
    assert content["info"]["maskrcnn"]["boxes"] == "boxes.csv"
    rows_of_counts = (tmp_path / "out/counts.csv").read_text().splitlines()
    assert len(rows_of_counts) == 4
    # Other boxes are another job: nothing of the first is taken for done.
    (tmp_path / "boxes.csv").write_text("b.png,10,10,30,30\n")
    assert infer(images, tmp_path / "boxes.csv", tmp_path / "out") == 0
    assert len(json.loads((tmp_path / "out/instances.json").read_text())["annotations"]) == 1


def test_what_boxes_do_not_go_with(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "boxes.csv").write_text("a.png,10,10,30,30\n")
    assert infer(images, tmp_path / "boxes.csv", tmp_path / "out", "--method", "otsu") == 1
    assert "--boxes: expected weights that find objects" in capsys.readouterr().err
    assert run_tool("infer", ["--boxes", str(tmp_path / "boxes.csv"), "--out", str(tmp_path / "out")]) == 1
    assert "--boxes: expected the images that the boxes are of" in capsys.readouterr().err
    (tmp_path / "boxes.csv").write_text("x.png,10,10,30,30\n")
    assert infer(images, tmp_path / "boxes.csv", tmp_path / "out") == 1
    assert "none of the images that it names is given, such as x.png" in capsys.readouterr().err
