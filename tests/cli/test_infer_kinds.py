"""`infer` does what it is given: weights with a class for every pixel, or a method without weights; one job for all."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn.report.written import is_ours
from maskrcnn.semantic.torchvision_networks import VOC_CLASSES, build_torchvision
from tests.cli.conftest import Tool


@pytest.fixture(scope="module")
def semantic_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "any.pth"
    torch.save(build_torchvision("lraspp_mobilenet_v3_large", 21).state_dict(), path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_maps_of_a_folder(tool: Tool, pictures: Path, semantic_file: Path):
    (pictures / "bad.png").write_text("no image")
    said = tool("infer", pictures, "--weights", semantic_file, "--resize", "64", "--device", "cpu")
    assert said.status == 1
    assert "1 of 4 files could not be read" in said.err
    assert "lraspp_mobilenet_v3_large, 21 classes" in said.out
    maps = sorted(path.name for path in Path("out").glob("*_semantic.png"))
    assert maps == ["deep_one_semantic.png", "scans_one_semantic.png", "two_semantic.png"]
    rows = rows_of(Path("out/shares.csv"))
    assert [row["status"].partition(":")[0] for row in rows] == ["unreadable", "ok", "ok", "ok"]
    with Image.open("out/scans_one_semantic.png") as picture:
        assert picture.mode == "P"
        idx = np.asarray(picture)
    assert idx.shape == (64, 80)
    shares = {name: (idx == k).mean() for k, name in enumerate(VOC_CLASSES)}
    row = next(row for row in rows if row["file"] == "one.png")
    assert {name: float(row[name]) for name in VOC_CLASSES} == pytest.approx(shares, abs=1e-5)
    classes = rows_of(Path("out/classes.csv"))
    assert [one["class"] for one in classes] == list(VOC_CLASSES)
    assert sum(int(one["pixels"]) for one in classes) == 64 * 80 + 48 * 80 + 64 * 80
    for name in ("shares.csv", "classes.csv", "scans_one_semantic.png", "scans_one_overlay.png"):
        assert is_ours(Path("out") / name)
    again = tool("infer", pictures, "--weights", semantic_file, "--resize", "64", "--device", "cpu")
    assert "done before: 3 of 4 images" in again.out
    Path("out/two_semantic.png").unlink()
    assert "done before: 2 of 4" in tool("infer", pictures, "--weights", semantic_file, "--resize", "64").out
    other = tool("infer", pictures, "--weights", semantic_file, "--resize", "65", "--device", "cpu")
    assert "done before" not in other.out, "other settings, other results"


def test_what_maps_have_not(tool: Tool, pictures: Path, semantic_file: Path):
    for option, sentence in (
        (["--export", "yolo"], "--export: the formats hold objects"),
        (["--min-area", "5"], "--min-area and its like choose objects"),
    ):
        said = tool("infer", pictures, "--weights", semantic_file, *option)
        assert said.status == 1
        assert sentence in said.err


def test_a_method_counts_and_writes_its_steps(tool: Tool, pictures: Path):
    said = tool("infer", pictures, "--method", "kmeans", "--clusters", "3", "--steps")
    assert said.status == 0
    assert "kmeans: kmeans, no weights" in said.out
    rows = rows_of(Path("out/counts.csv"))
    assert [row["object"] for row in rows] == ["2", "2", "2"]
    steps = {path.name for path in Path("out/steps").iterdir()}
    assert {"two_1_grey.png", "two_2_clusters.png", "two_3_mask.png", "two_semantic.png", "classes.csv"} <= steps
    assert "done before: 3 of 3" in tool("infer", pictures, "--method", "kmeans", "--clusters", "3").out
    assert "done before" not in tool("infer", pictures, "--method", "kmeans", "--clusters", "4").out


def test_steps_need_a_method(tool: Tool, pictures: Path):
    said = tool("infer", pictures, "--steps")
    assert said.status == 1
    assert "--steps: a method has steps, name one with --method" in said.err
