"""Names of files and classes that do something to a terminal, a spreadsheet, a page or a text in UTF-8."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.config import DataSettings
from maskrcnn.data.coco_records import read_categories, read_images
from maskrcnn.data.reading import load_annotations
from maskrcnn.prediction.file_state import FileState
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.training.data import prepare_data
from tests.cli.conftest import Tool

NAMES = ["\x1b[31mred.png", "=1+1.png", "<script>.png", "a.png"]
ODD = os.fsdecode(b"odd \xff.png")


@pytest.fixture
def label_images(tmp_path: Path) -> Path:
    values = np.zeros((30, 40), np.uint8)
    values[5:20, 5:20] = 1
    rng = np.random.default_rng(0)
    folder = tmp_path / "set"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    try:
        for name in (*NAMES, ODD):
            noise = rng.integers(0, 255, (30, 40, 3), np.uint8)
            for part, pixels in (("images", noise), ("masks", values)):
                written = io.BytesIO()
                Image.fromarray(pixels).save(written, "PNG")
                (folder / part / name).write_bytes(written.getvalue())
    except OSError:
        pytest.skip("this file system takes no such names")
    return folder


def test_check_says_them_harmlessly(tool: Tool, label_images: Path) -> None:
    (label_images / "images" / NAMES[0]).write_bytes(b"x")
    (label_images / "images" / NAMES[1]).write_bytes(b"x")
    said = tool("check_dataset", "--annotations", label_images, "--out", "check")
    assert "error:" not in said.err
    assert r"\x1b[31mred.png" in said.out
    assert r"file-name-bytes (1)" in said.out
    assert r"the name odd \xff.png is not UTF-8" in said.out
    assert "\x1b" not in said.out
    with Path("check/problems.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) or "\x1b" in cell for cell in cells)
    page = Path("check/report.html").read_text(encoding="utf-8")
    assert "<script>.png" not in page
    assert "\x1b" not in page


def test_a_formula_begins_with_an_apostrophe_in_the_table(tool: Tool, coco: Path) -> None:
    document = json.loads((coco / "val.json").read_text())
    document["annotations"][0] |= {"id": "=cmd|' /C calc'!A0", "segmentation": [[1, 1]]}
    (coco / "val.json").write_text(json.dumps(document))
    tool("check_dataset", "--annotations", coco / "val.json", "--images", coco / "images", "--out", "check")
    with Path("check/problems.csv").open(newline="", encoding="utf-8") as file:
        ids = {row["annotation"] for row in csv.DictReader(file)}
    assert "'=cmd|' /C calc'!A0" in ids


def test_a_name_that_is_not_utf_8_can_be_converted_and_trained_on(
    tool: Tool, label_images: Path, tmp_path: Path
) -> None:
    said = tool("convert_dataset", label_images, "a.json")
    assert said.status == 0
    assert r"odd \xff.png is not UTF-8" in said.out
    assert load_annotations("a.json", label_images / "images").load(len(NAMES)).image.shape == (30, 40, 3)
    _, (train, val) = prepare_data(DataSettings(train=str(label_images), val_fraction=0.5), 1, tmp_path / "data")
    assert val is not None
    assert {*train.file_names, *val.file_names} == {*NAMES, ODD}


def test_tiles_of_such_an_image_have_a_place(tmp_path: Path) -> None:
    state = FileState(path=ODD, size=1, mtime=1, ctime=1, content=None)
    assert TileFiles(tmp_path, "settings", state) is not None


def test_names_of_classes_do_nothing_to_the_terminal(tool: Tool, coco: Path) -> None:
    document = json.loads((coco / "val.json").read_text())
    document["categories"][0]["name"] = "\x1b]0;title\x07\ud800"
    (coco / "val.json").write_text(json.dumps(document))
    data = ("--annotations", coco / "val.json", "--images", coco / "images")
    said = tool("check_dataset", *data, "--out", "check")
    assert r"\x1b]0;title\x07\ud800" in said.out
    said = tool("convert_dataset", coco / "val.json", "a.json", "--images", coco / "images")
    assert r"\x1b]0;title\x07\ud800" in said.out
    assert "\x1b" not in said.out + said.err


def test_many_equal_names_take_no_time() -> None:
    """Each was once looked for among all."""
    num = 60_000
    images = [{"id": i, "file_name": f"{i // 2}.png", "height": 1, "width": 1} for i in range(num)]
    _, _, problems = read_images(images, None, "x")
    assert [problem.kind for problem in problems] == ["duplicate-file-name"] * (num // 2)
    categories = [{"id": i, "name": f"{i // 30}"} for i in range(num)]
    _, _, problems = read_categories(categories, "x")
    assert len(problems) == num // 30
    assert problems[0].reason.endswith("17, 18, 19, ...")


def test_infer_says_which_images_it_does_not_read(tool: Tool, weights: Path, coco: Path) -> None:
    (coco / "images" / "a.czi").touch()
    said = tool("infer", coco / "images", "--weights", weights, "--device", "cpu", "--out", "out", "--no-draw")
    assert said.status == 0
    assert f"{coco / 'images'}: 1 .czi file not read: a Zeiss CZI file; export it as OME-TIFF" in said.out
