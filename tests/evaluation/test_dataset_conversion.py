"""`maskrcnn.convert_dataset`, as a program calls it."""

import json
from pathlib import Path

import pytest

import maskrcnn
from tests.data.formats.small_sets import write_json, write_picture

SQUARE = {"name": "polygon", "all_points_x": [10, 30, 30, 10], "all_points_y": [20, 20, 40, 40]}
LINE = {"name": "polyline", "all_points_x": [10, 30], "all_points_y": [20, 20]}


@pytest.fixture
def via(tmp_path: Path) -> Path:
    """Six images with an object each, and a line, which is none."""
    content = {}
    for number in range(6):
        name = f"p{number // 2}_{number}.png"
        write_picture(tmp_path / "set" / name)
        regions = [{"shape_attributes": shape} for shape in ([SQUARE, LINE] if number == 0 else [SQUARE])]
        content[f"{name}1"] = {"filename": name, "size": 1, "regions": regions}
    return write_json(tmp_path / "set" / "via_region_data.json", content)


def test_one_file_and_what_was_left_out(via: Path, tmp_path: Path) -> None:
    converted = maskrcnn.convert_dataset(via, tmp_path / "out.json", class_name="nut")
    assert converted.format_name == "via"
    (file,) = converted.files.values()
    assert file == tmp_path / "out.json"
    coco = json.loads(file.read_text())
    assert (len(coco["images"]), len(coco["annotations"])) == (6, 6)
    assert [category["name"] for category in coco["categories"]] == ["nut"]
    assert [problem.kind for problem in converted.problems] == ["open-shape"]
    assert not converted.is_complete
    assert converted.text().splitlines() == [
        f"{file}: 6 images (0 without objects), 6 objects: nut 6",
        f"file names are relative to {via.parent}",
    ]


def test_val_is_held_out_by_groups_of_names(via: Path, tmp_path: Path) -> None:
    converted = maskrcnn.convert_dataset(via, tmp_path / "x.json", val_fraction=0.5, group_key=r"^(p\d)_", seed=1)
    assert converted.files == {name: tmp_path / f"x_{name}.json" for name in ("train", "val")}
    train, val = (converted.splits[name].file_names for name in ("train", "val"))
    assert len(train) + len(val) == 6
    assert not {name[:2] for name in train} & {name[:2] for name in val}


def test_a_val_part_of_another_size_than_asked_for_is_said(via: Path, tmp_path: Path) -> None:
    converted = maskrcnn.convert_dataset(via, tmp_path / "x.json", val_fraction=0.05, group_key=r"^(p\d)_", seed=2)
    assert len(converted.splits["val"]) == 2
    assert converted.uneven.startswith("val has 33% of 6 images instead of 5%: the file name alone decides")


def test_options_that_do_not_fit(via: Path, tmp_path: Path) -> None:
    for options, reason in (
        ({"out": "x.csv"}, "out: expected the name of a .json file, got x.csv"),
        ({"group_key": "p"}, "group_key needs val_fraction"),
        ({"split": "test"}, "split: expected one of "),
        ({"out": via}, "is the input file; give the output another name"),
    ):
        with pytest.raises(ValueError, match=reason):
            maskrcnn.convert_dataset(**{"annotations": via, "out": tmp_path / "x.json"} | options)
    assert not list(tmp_path.glob("*.json"))
