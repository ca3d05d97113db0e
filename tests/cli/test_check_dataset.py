import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.cli.conftest import Tool
from tests.data.clean_set import clean_set
from tests.report.test_html import embedded, parse


def test_a_clean_set_ends_well(tool: Tool, coco: Path):
    said = tool(
        "check_dataset",
        "--data",
        coco / "train.json",
        "--val",
        coco / "val.json",
        "--images",
        coco / "images",
        "--out",
        "check",
    )
    assert said.status == 0
    lines = said.out.splitlines()
    # One of the four pictures to train on is empty on purpose.
    assert lines[-1] == "usable: 0 errors, 1 warning, 0 fixed"
    assert any(line.split() == ["objects", "5", "3"] for line in lines)
    text = Path("check/report.html").read_text(encoding="utf-8")
    parse(text)
    assert len(embedded(text)) >= 5
    assert (
        Path("check/problems.csv")
        .read_text(encoding="utf-8")
        .startswith("verdict,kind,file,annotation,reason\nwarning,empty-images,")
    )


def test_a_spoilt_set_is_told_on_the_terminal_the_page_and_in_the_table(tool: Tool, tmp_path: Path):
    spoilt = clean_set(tmp_path / "set")
    spoilt.annotation(1)["bbox"] = [4, 4, 0, 14]
    spoilt.annotation(2)["segmentation"] = [[5, 5, 9, 9]]
    (tmp_path / "set" / "2.png").write_bytes((tmp_path / "set" / "1.png").read_bytes())
    path = spoilt.write()
    said = tool("check_dataset", "--data", path, "--images", tmp_path / "set", "--out", "check")
    assert said.status == 1
    assert said.err == "" or "error:" not in said.err
    assert (
        f"    {path}, annotation 1: the box [4, 4, 0, 14] has width 0 and height 14; in 1.png" in said.out.splitlines()
    )
    assert said.out.splitlines()[-1] == "not usable as it is: 2 errors, 1 warning, 0 fixed"
    with Path("check/problems.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["verdict"], row["kind"], row["annotation"]) for row in rows] == [
        ("error", "two-point-polygon", "2"),
        ("error", "degenerate-box", "1"),
        ("warning", "duplicate-image", ""),
    ]
    tree = parse(Path("check/report.html").read_text(encoding="utf-8"))
    for words in ("degenerate-box", "the box [4, 4, 0, 14] has width 0", "The same image more than once"):
        assert words in tree.text


def test_pixels_may_stay_unread(tool: Tool, tmp_path: Path):
    spoilt = clean_set(tmp_path / "set")
    for name in ("1.png", "2.png"):
        path = tmp_path / "set" / name
        path.write_bytes(path.read_bytes()[:2000])
    args = ("--data", spoilt.write(), "--images", tmp_path / "set", "--out", "check")
    assert tool("check_dataset", *args).out.splitlines()[-1] == "not usable as it is: 2 errors, 0 warnings, 0 fixed"
    said = tool("check_dataset", *args, "--no-pixels")
    assert (said.status, said.out.splitlines()[-1]) == (0, "good: no problem found")


def test_mistakes_are_one_sentence(tool: Tool, tmp_path: Path):
    (tmp_path / "bad.json").write_text("<html>")
    for path, sentence in (("gone.json", "gone.json"), ("bad.json", "bad.json")):
        said = tool("check_dataset", "--data", path, "--out", "check")
        assert said.status == 1
        (line,) = said.err.splitlines()
        assert line.startswith("error: ")
        assert sentence in line


def test_a_folder_with_several_splits_is_checked_as_one(tool: Tool, coco: Path):
    said = tool("check_dataset", "--data", coco, "--out", "check")
    assert said.status == 0
    assert any(line.split() == ["images", "4", "2"] for line in said.out.splitlines())
    said = tool("check_dataset", "--data", coco, "--val", coco / "val.json", "--out", "check")
    assert (said.status, said.err) == (
        1,
        f"error: {coco} has the splits train, val already; leave out the second set {coco / 'val.json'}\n",
    )


def test_what_reading_another_format_found_is_listed_too(tool: Tool, tmp_path: Path):
    folder = tmp_path / "labelme"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(folder / "a.png")
    shapes = [
        {"label": "fig", "points": [[5, 5], [30, 5], [30, 30]], "shape_type": "polygon"},
        {"label": "fig", "points": [[50, 5]], "shape_type": "point"},
    ]
    content = {"version": "5.0", "imagePath": "a.png", "imageHeight": 40, "imageWidth": 60, "shapes": shapes}
    (folder / "a.json").write_text(json.dumps(content))
    said = tool("check_dataset", "--data", folder, "--out", "check")
    assert said.status == 1
    assert "error open-shape (1)" in said.out
    assert said.out.splitlines()[-1] == "not usable as it is: 1 error, 0 warnings, 0 fixed"


def test_a_model_looks_for_errors(tool: Tool, coco: Path, weights: Path):
    args = ("--annotations", coco / "train.json", "--val", coco / "val.json", "--images", coco / "images")
    said = tool("check_dataset", *args, "--weights", weights, "--device", "cpu", "--out", "check")
    assert (said.status, "error:" in said.err) == (0, False)
    lines = said.out.splitlines()
    assert any("suspects, the most suspicious first, in suspects.html and suspects.csv" in line for line in lines)
    assert lines[-1] == f"suspects: {Path('check/suspects.html')}"
    with Path("check/suspects.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"train", "val"}
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert sum(row["annotation"] != "" for row in rows) == 8  # the model has random weights
    assert len(embedded(Path("check/suspects.html").read_text(encoding="utf-8"))) == min(len(rows), 100)


def test_wrong_weights_are_told_before_the_check(tool: Tool, coco: Path):
    said = tool(
        "check_dataset", "--annotations", coco / "train.json", "--weights", "gone.safetensors", "--out", "check"
    )
    assert (said.status, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert line.startswith("error: no weights named 'gone.safetensors'")
    assert not Path("check").exists()


def test_no_suspects_before_the_errors_are_gone(tool: Tool, tmp_path: Path, weights: Path):
    spoilt = clean_set(tmp_path / "set")
    spoilt.annotation(1)["bbox"] = [4, 4, 0, 14]
    args = ("--annotations", spoilt.write(), "--images", tmp_path / "set", "--out", "check")
    said = tool("check_dataset", *args, "--weights", weights)
    assert said.status == 1
    assert said.out.splitlines()[-1] == "--weights: no suspects were looked for, since the errors above come first"
    assert not Path("check/suspects.csv").exists()
