"""One limit for the pixels of a picture, at every door that opens some."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskrcnn
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.images import ImageTooLargeError
from maskrcnn.data.pictures.limits import allowed_pixels, default_max_pixels, pixels_allowed
from maskrcnn.data.reading import load_annotations
from maskrcnn.training.data import prepare_data
from tests.cli.conftest import Tool

BEYOND = "more than the 0.0001 allowed (max_pixels)"


def test_every_command_takes_it(tool: Tool, weights: Path, coco: Path) -> None:
    data = ("--annotations", "data/val.json", "--images", "data/images")
    model = ("--weights", weights, "--device", "cpu")
    said = tool("check_dataset", *data, "--out", "check", "--max-pixels", 100)
    assert said.status == 1
    assert BEYOND in said.out
    said = tool("train", *data, "--out", "run", "--steps", 1, "--max-pixels", 100)
    assert said.status == 1
    assert BEYOND in said.err
    said = tool("evaluate", *data, *model, "--max-pixels", 100)
    assert said.status == 1
    assert said.err.endswith(f"{BEYOND}; --max-pixels raises the limit\n")
    said = tool("infer", "data/images", *model, "--out", "out", "--max-pixels", 100)
    assert said.status == 1
    assert f"{BEYOND}; --max-pixels raises the limit" in said.err


def label_images(folder: Path) -> Path:
    values = np.zeros((20, 30), np.uint8)
    values[5:12, 5:12] = 1
    for name, pixels in (("images", np.full((20, 30, 3), 9, np.uint8)), ("masks", values)):
        (folder / name).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / name / "a.png")
    return folder


def test_masks_have_it_too(tool: Tool, tmp_path: Path) -> None:
    folder = label_images(tmp_path / "set")
    said = tool("convert_dataset", folder, "a.json", "--max-pixels", 599)
    assert said.status == 1
    assert "30 x 20 px are 0.0006 megapixels, more than the 0.000599 allowed (max_pixels)" in said.err
    assert tool("convert_dataset", folder, "a.json", "--max-pixels", 600).status == 0
    Image.new("L", (31, 20), 1).save(folder / "masks" / "a.png")
    said = tool("convert_dataset", folder, "a.json", "--max-pixels", 600)
    assert "masks/a.png: 31 x 20 px are 0.00062 megapixels, more than the 0.0006 allowed (max_pixels)" in said.err


def test_every_door_of_python_takes_it(weights: Path, coco: Path, tmp_path: Path) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu")
    picture, annotations = min((coco / "images").glob("val_*.png")), coco / "val.json"
    found = predictor(picture)
    for call in (
        lambda: maskrcnn.read_image(picture, max_pixels=100),
        lambda: predictor(picture, max_pixels=100),
        lambda: maskrcnn.draw(picture, found, max_pixels=100),
        lambda: maskrcnn.evaluate(predictor, annotations, coco / "images", max_pixels=100),
        lambda: load_annotations(annotations, coco / "images", max_pixels=100).load(0),
    ):
        with pytest.raises(ImageTooLargeError, match=r"more than the 0\.0001 allowed \(max_pixels\)"):
            call()
    check = maskrcnn.check_dataset(annotations, coco / "images", max_pixels=100, pixels=False)
    assert {problem.kind for problem in check.problems if problem.severity == "error"} == {"unreadable-image"}
    with pytest.raises(ValueError, match=r"unreadable-image.*max_pixels"):
        maskrcnn.train(annotations, images=str(coco / "images"), out=tmp_path / "run", max_pixels=100)


def test_the_limit_stays_with_what_was_read(coco: Path, tmp_path: Path) -> None:
    (table,) = read_dataset(coco / "val.json", coco / "images", max_pixels=12345).values()
    assert table.usable().light().max_pixels == 12345
    settings = maskrcnn.settings().data.model_copy(
        update={"train": str(coco / "train.json"), "images": str(coco / "images"), "max_pixels": 12345}
    )
    prepared, (train, _) = prepare_data(settings, 0, tmp_path / "data")
    assert (prepared.max_pixels, train.max_pixels) == (12345, 12345)


def test_the_limit_of_a_block() -> None:
    with pixels_allowed(5), pixels_allowed(None):
        assert (allowed_pixels(), allowed_pixels(7)) == (5, 7)
    assert allowed_pixels() == default_max_pixels()
