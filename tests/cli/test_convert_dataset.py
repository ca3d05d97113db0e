"""`convert_dataset`, as a user runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from maskrcnn.data.reading import load_annotations
from tests.cli.conftest import Tool
from tests.data.formats.small_sets import shared, write_json, write_picture

SQUARE = {"name": "polygon", "all_points_x": [10, 30, 30, 10], "all_points_y": [20, 20, 40, 40]}
LINE = {"name": "polyline", "all_points_x": [10, 30], "all_points_y": [20, 20]}


def write_via(folder: Path, names: list[str], shape: dict[str, Any] = SQUARE) -> Path:
    content = {}
    for name in names:
        write_picture(folder / name)
        content[f"{name}1"] = {"filename": name, "size": 1, "regions": [{"shape_attributes": shape}]}
    return write_json(folder / "via_region_data.json", content)


@pytest.fixture
def balloons(tmp_path: Path) -> Path:
    """A set that is divided into folders."""
    write_via(tmp_path / "balloon" / "train", ["a.png", "b.png"])
    write_via(tmp_path / "balloon" / "val", ["c.png"])
    return tmp_path / "balloon"


def test_each_split_becomes_a_file_that_a_training_loads(tool: Tool, tmp_path: Path, balloons: Path):
    said = tool("convert_dataset", balloons, "out/b.json", "--class-name", "balloon")
    assert said.status == 0, said.err
    assert "format via" in said.out
    assert "b_train.json: train, 2 images (0 without objects), 2 objects: balloon 2" in said.out
    assert f"file names are relative to {balloons}\n" in said.out
    train, val = (load_annotations(tmp_path / "out" / f"b_{split}.json", balloons) for split in ("train", "val"))
    assert train.file_names == ("train/a.png", "train/b.png")
    assert val.class_names == ("balloon",)
    assert train.load(0).image.shape == (60, 80, 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b_train.json", "b_val.json"]


def test_the_same_data_gives_the_same_bytes(tool: Tool, tmp_path: Path, balloons: Path):
    for name in ("one", "two"):
        assert tool("convert_dataset", balloons, f"{name}.json").status == 0
    content = (balloons / "train" / "via_region_data.json").read_text()
    backwards = dict(reversed(list(json.loads(content).items())))
    write_json(balloons / "train" / "via_region_data.json", backwards)
    assert tool("convert_dataset", balloons, "three.json").status == 0
    files = [(tmp_path / f"{name}_train.json").read_bytes() for name in ("one", "two", "three")]
    assert files[0] == files[1] == files[2]


def test_one_split_alone_and_one_that_is_not_there(tool: Tool, tmp_path: Path, balloons: Path):
    assert tool("convert_dataset", balloons, "out.json", "--split", "val").status == 0
    assert load_annotations(tmp_path / "out.json", balloons).file_names == ("val/c.png",)
    said = tool("convert_dataset", balloons, "out.json", "--split", "test")
    assert said.status == 1
    assert "split: expected one of train, val, got test" in said.err


def test_data_without_a_split_is_divided_by_groups(tool: Tool, tmp_path: Path):
    names = [f"p{plate}_{well}.png" for plate in range(8) for well in range(2)]
    write_via(tmp_path / "set", names)
    said = tool("convert_dataset", "set", "x.json", "--val-fraction", "0.4", "--group-key", r"^(p\d+)_")
    assert said.status == 0, said.err
    sides = [load_annotations(tmp_path / f"x_{split}.json", tmp_path / "set").file_names for split in ("train", "val")]
    assert sorted(sides[0] + sides[1]) == names
    assert not {name[:2] for name in sides[0]} & {name[:2] for name in sides[1]}
    said = tool("convert_dataset", "set", "x.json", "--val-fraction", "0.4", "--group-key", r"^(q\d+)_")
    assert said.status == 1
    assert "is not told by" in said.err
    said = tool("convert_dataset", "set", "x.json", "--group-key", "p")
    assert said.status == 1
    assert said.err.endswith("; add --val-fraction\n")


def test_data_that_is_divided_is_not_divided_again(tool: Tool, tmp_path: Path, balloons: Path):
    write_via(balloons / "train", [f"{number}.png" for number in range(20)])
    said = tool("convert_dataset", balloons, "x.json", "--val-fraction", "0.5")
    assert said.status == 1
    assert "already split (train, val); name the split to divide further; choose it with --split" in said.err
    said = tool("convert_dataset", balloons, "x.json", "--val-fraction", "0.5", "--split", "train")
    assert said.status == 0, said.err
    assert sum(len(load_annotations(tmp_path / f"x_{split}.json", balloons)) for split in ("train", "val")) == 20


def test_a_bad_annotation_is_named_counted_and_skipped_and_the_rest_is_finished(tool: Tool, tmp_path: Path):
    file = write_via(tmp_path / "set", ["a.png", "b.png"])
    content = json.loads(file.read_text())
    content["a.png1"]["regions"].append({"shape_attributes": LINE})
    write_json(file, content)
    said = tool("convert_dataset", file, "x.json")
    assert said.status == 1
    assert "error open-shape (1): a point or a line encloses nothing" in said.out
    assert f"{file}, annotation a.png, region 1: a polyline that does not end where it begins" in said.out
    assert said.out.rstrip().endswith("1 error")
    assert len(load_annotations(tmp_path / "x.json", tmp_path / "set").annotation_ids) == 2


def test_a_class_name_is_for_data_without_one(tool: Tool, coco: Path):
    said = tool("convert_dataset", coco, "x.json", "--class-name", "nut")
    assert said.status == 1
    assert "this has square, disc" in said.err


def test_coco_passes_through_and_is_divided(tool: Tool, tmp_path: Path, coco: Path):
    assert tool("convert_dataset", coco / "train.json", "whole.json").status == 0
    assert json.loads((tmp_path / "whole.json").read_text()) == json.loads((coco / "train.json").read_text())
    said = tool("convert_dataset", coco / "train.json", "x.json", "--val-fraction", "0.5", "--seed", "1")
    assert said.status == 0, said.err
    sides = [load_annotations(tmp_path / f"x_{split}.json", coco / "images") for split in ("train", "val")]
    assert sum(len(side) for side in sides) == 4
    assert sum(len(side.annotation_ids) for side in sides) == 5


def test_the_file_that_is_read_is_never_written(tool: Tool, coco: Path):
    before = (coco / "train.json").read_bytes()
    said = tool("convert_dataset", coco / "train.json", coco / "train.json")
    assert said.status == 1
    assert "is the input file" in said.err
    assert (coco / "train.json").read_bytes() == before


def test_mistakes_are_one_sentence(tool: Tool, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for arguments, reason in [
        (("gone", "x.json"), "gone: there is no such file or folder"),
        (("empty", "x.json"), "empty is no annotation format that is known here"),
        (("empty", "x.csv"), "expected the name of a .json file"),
        (("empty", "x.json", "--format", "via"), "expected a JSON file of VIA"),
        (("gone", "x.json", "--format", "via"), "gone: there is no such file or folder"),
    ]:
        said = tool("convert_dataset", *arguments)
        assert said.status == 1
        assert said.err.startswith("error: ")
        assert reason in said.err
        assert said.err.count("\n") == 1
    assert not list(tmp_path.glob("*.json"))


def test_the_real_balloons(tool: Tool, tmp_path: Path):
    folder = shared("balloon")
    said = tool("convert_dataset", folder, "b.json", "--format", "via", "--class-name", "balloon")
    assert said.status == 0, said.err
    for split, number in {"train": 255, "val": 50}.items():
        assert len(load_annotations(tmp_path / f"b_{split}.json", folder).annotation_ids) == number
