"""Methods and weights in one table: what a perfect method gets, and what is written."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskrcnn
from maskrcnn.cli.main import run_tool
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.report.written import write_json
from maskrcnn.structures.rle import encode


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images with two bright squares each, of two classes."""
    annotations = []
    for i in range(2):
        image = np.full((64, 80, 3), 30, np.uint8)
        for k, (x, y) in enumerate([(8, 8), (40 + i, 30)]):
            mask = np.zeros((64, 80), bool)
            mask[y : y + 20, x : x + 24] = True
            image[mask] = 200
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": k + 1,
                    "iscrowd": 0,
                    "bbox": [x, y, 24, 20],
                    "area": 480,
                    "segmentation": encode(mask),
                }
            )
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    images = [{"id": i, "file_name": f"{i}.png", "width": 80, "height": 64} for i in range(2)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    write_json(tmp_path / "val.json", {"images": images, "annotations": annotations, "categories": categories})
    return tmp_path


def test_a_method_that_is_right_everywhere(data: Path):
    exact = MethodPredictor("otsu", smooth_px=0)
    found = maskrcnn.compare(data / "val.json", data, [exact, "mean"], out=data / "out")
    best = found.contestants[0]
    assert (best.mask_ap50, best.mask_score50, best.mask_score, best.pixel_iou, best.pixel_dice) == (1, 1, 1, 1, 1)
    assert (best.count_mae, best.count_error) == (0, 0)
    assert (found.num_images, found.num_objects) == (2, 4)
    assert found.table().splitlines()[0] == "val.json: 2 images, 4 objects"
    rows = list(csv.DictReader((data / "out" / "comparison.csv").open()))
    assert [row["name"] for row in rows] == ["threshold (smooth_px 0)", "mean"]
    assert float(rows[0]["pixel_dice"]) == 1
    page = (data / "out" / "comparison.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 * 3, "what is annotated, and what each of two found"


def test_the_command(data: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--annotations", str(data / "val.json"), "--images", str(data), "--out", str(data / "out")]
    assert run_tool("compare", [*arguments, "--methods", "otsu", "watershed", "--weights", "nuclei"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[3:6]] == ["otsu", "watershed", "nuclei"]
    assert "comparison.html" in said
    assert run_tool("compare", [*arguments, "--methods"]) == 1
    assert "expected at least one method or one file of weights" in capsys.readouterr().err


def test_a_method_is_evaluated_as_a_network_is(data: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--annotations", str(data / "val.json"), "--images", str(data), "--method", "otsu", "--smooth", "0"]
    assert run_tool("evaluate", arguments) == 1
    assert "expected one class, since a method tells none apart, got 2" in capsys.readouterr().err
    text = (data / "val.json").read_text().replace('"category_id":2', '"category_id":1')
    (data / "val.json").write_text(text.replace(',{"id":2,"name":"dog"}', ""))
    assert run_tool("evaluate", [*arguments, "--out", str(data / "judged")]) == 0
    assert (data / "judged" / "report.html").is_file()
    found = maskrcnn.evaluate(MethodPredictor("otsu", smooth_px=0), data / "val.json", data)
    assert found.mask.ap == 1
    assert found.class_names == ("cat",)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--clusters", "3"], "--clusters is a choice of a method: name one with --method"),
        (["--method", "otsu", "--weights", "nuclei"], "--method: a method needs no weights, got --weights beside it"),
        (["--method", "otsu", "--set-threshold", "a.safetensors"], "--set-threshold: a method has no weights to copy"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert run_tool("evaluate", ["--annotations", "val.json", *arguments]) == 1
    assert sentence in capsys.readouterr().err
