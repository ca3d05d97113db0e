"""VIA 1 and 2, exports and projects."""

import math
from pathlib import Path
from typing import Any

import pytest

from maskrcnn.data.formats.via import is_format, read
from tests.data.formats.small_sets import box_mask, iou, kinds_of, masks_of, shared, write_json, write_picture

SQUARE = {"name": "polygon", "all_points_x": [10, 30, 30, 10], "all_points_y": [20, 20, 40, 40]}


def region(shape: dict[str, Any] = SQUARE, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def export(regions: Any, filename: str = "a.png") -> dict[str, Any]:
    return {f"{filename}123": {"filename": filename, "size": 123, "regions": regions, "file_attributes": {}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_picture(tmp_path / "set" / "a.png")
    return tmp_path / "set"


def read_regions(folder: Path, *regions: Any):
    return read(write_json(folder / "via.json", export(list(regions))), None)["all"]


@pytest.mark.parametrize("form", ["via 1", "via 2", "project"])
def test_every_form_gives_the_same(folder: Path, tmp_path: Path, form: str):
    regions = [region(name="fig"), region({"name": "rect", "x": 40, "y": 5, "width": 20, "height": 10}, name="date")]
    content = export({str(k): one for k, one in enumerate(regions)} if form == "via 1" else regions)
    if form == "project":
        content = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {"region": {}}}
    write_json(folder / "annotations.json", content)
    assert is_format(folder)
    (fig, date) = masks_of(read(folder, None)["all"], tmp_path)["a.png"]
    assert (fig[0], date[0]) == ("fig", "date")
    assert iou(fig[1], box_mask(10, 20, 30, 40)) > 0.9
    assert iou(date[1], box_mask(40, 5, 60, 15)) > 0.9


def test_round_shapes_and_closed_polylines(folder: Path, tmp_path: Path):
    closed = {"name": "polyline", "all_points_x": [2, 22, 22, 2, 2], "all_points_y": [2, 2, 22, 22, 3]}
    annotations = read_regions(
        folder,
        region({"name": "circle", "cx": 40, "cy": 30, "r": 12.5}),
        region({"name": "ellipse", "cx": 40, "cy": 30, "rx": 20, "ry": 8}),
        region({"name": "ellipse", "cx": 40, "cy": 30, "rx": 20, "ry": 8, "theta": math.pi / 2}),
        region(closed),
    )
    circle, flat, upright, square = (mask for _, mask in masks_of(annotations, tmp_path)["a.png"])
    assert circle.sum() == pytest.approx(math.pi * 12.5**2, rel=0.03)
    assert flat.sum() == pytest.approx(math.pi * 20 * 8, rel=0.03)
    assert flat.any(axis=0).sum() > 2 * flat.any(axis=1).sum()
    assert upright.any(axis=1).sum() > 2 * upright.any(axis=0).sum()
    assert iou(square, box_mask(2, 2, 22, 22)) > 0.9
    assert annotations.problems == ()


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ({"name": "point", "cx": 1, "cy": 2}, "open-shape"),
        ({"name": "polyline", "all_points_x": [1, 20, 20], "all_points_y": [1, 1, 30]}, "open-shape"),
        ({"name": "polyline", "all_points_x": [1, 20, 20, 40], "all_points_y": [1, 1, 30, 40]}, "open-shape"),
        ({"name": "polygon", "all_points_x": [1, 20], "all_points_y": [1, 30]}, "two-point-polygon"),
        ({"name": "polygon", "all_points_x": [1, 20, 4], "all_points_y": [1, 30]}, "malformed-shape"),
        ({"name": "polygon", "all_points_x": [1, 20, None], "all_points_y": [1, 30, 30]}, "malformed-shape"),
        ({"name": "polygon", "all_points_x": [100, 120, 110], "all_points_y": [1, 1, 9]}, "mask-outside-image"),
        ({"name": "rect", "x": 4, "y": 5, "width": 7}, "malformed-shape"),
        ({"name": "rect", "x": 4, "y": 5, "width": 0, "height": 0}, "empty-mask"),
        ({"name": "circle", "cx": 4, "cy": 5, "r": 0}, "malformed-shape"),
        ({"name": "star"}, "unknown-shape"),
        ({}, "unknown-shape"),
        (None, "malformed-shape"),
    ],
)
def test_a_shape_that_is_none_is_named_and_the_others_stay(folder: Path, tmp_path: Path, shape: Any, kind: str):
    annotations = read_regions(folder, region(), region(shape), region())
    (problem,) = annotations.problems
    assert (problem.severity, problem.kind) == ("error", kind)
    assert problem.annotation_id == "a.png, region 1"
    assert problem.file.endswith("via.json")
    assert len(masks_of(annotations, tmp_path)["a.png"]) == 2


def test_without_attributes_all_are_objects(folder: Path, tmp_path: Path):
    annotations = read_regions(folder, region(), region())
    assert [name for name, _ in masks_of(annotations, tmp_path)["a.png"]] == ["object", "object"]
    assert annotations.problems == ()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"Label": "fig", "comment": "blurred"}, "fig"),
        ({"species": "fig"}, "fig"),
        ({"species": " fig ", "quality": {"good": True, "sharp": True}}, "fig"),
        ({"type": {"fig": True, "date": False}}, "fig"),
        ({"class": 3}, "3"),
    ],
)
def test_the_class_is_the_attribute_that_can_be_one(folder: Path, tmp_path: Path, attributes: Any, expected: str):
    annotations = read_regions(folder, region(**attributes))
    assert masks_of(annotations, tmp_path)["a.png"][0][0] == expected
    assert annotations.problems == ()


def test_a_name_is_not_the_class_where_there_is_a_type(folder: Path):
    annotations = read_regions(folder, region(name="Socrates", type="human"), region(name="Hemlock", type="cup"))
    assert [category["name"] for category in annotations.coco["categories"]] == ["cup", "human"]
    assert kinds_of(annotations) == ["class-attribute"]
    assert "'type', not 'name'" in annotations.problems[0].reason


def test_several_unknown_attributes_are_a_question(folder: Path):
    with pytest.raises(ValueError, match=r"which attribute of the regions is their class.*colour, species"):
        read_regions(folder, region(species="fig", colour="blue"))


@pytest.mark.parametrize(
    "attributes", [{}, {"name": ""}, {"name": {"fig": True, "date": True}}, {"name": {"fig": False}}]
)
def test_an_object_needs_one_class(folder: Path, attributes: Any):
    annotations = read_regions(folder, region(name="fig"), region(**attributes))
    assert kinds_of(annotations) == ["no-class"]
    assert len(annotations.coco["annotations"]) == 1


def test_pictures_without_regions_stay_and_missing_ones_are_named(folder: Path, tmp_path: Path):
    write_picture(folder / "empty.png")
    write_picture(folder / "new.png")
    content = export([region()]) | export([], "empty.png") | export([region()], "C:\\scans\\gone.png")
    annotations = read(write_json(folder / "via.json", content), None)["all"]
    masks = masks_of(annotations, tmp_path)
    assert {name: len(objects) for name, objects in masks.items()} == {"a.png": 1, "empty.png": 0}
    assert sorted(kinds_of(annotations)) == ["missing-image", "unannotated-images"]
    named = {problem.kind: problem for problem in annotations.problems}
    assert named["missing-image"].file == str(folder / "gone.png")
    assert "new.png" in named["unannotated-images"].reason


def test_splits_are_folders_and_file_names_have_them(tmp_path: Path):
    for split in ("train", "val"):
        write_picture(tmp_path / "set" / split / f"{split}.png")
        write_json(tmp_path / "set" / split / "via_region_data.json", export([region(name=split)], f"{split}.png"))
    splits = read(tmp_path / "set", None)
    assert list(splits) == ["train", "val"]
    assert list(masks_of(splits["val"], tmp_path)) == ["val/val.png"]
    assert splits["train"].coco["categories"] == splits["val"].coco["categories"]


def test_pictures_in_another_folder(folder: Path, tmp_path: Path):
    file = write_json(tmp_path / "elsewhere" / "via.json", export([region()]))
    annotations = read(file, folder)["all"]
    assert annotations.image_folder == folder
    assert len(masks_of(annotations, tmp_path)["a.png"]) == 1
    with pytest.raises(ValueError, match=r"no image can be used \(.*a.png: there is no such file\)"):
        read(file, None)


def test_two_entries_of_one_picture_are_put_together(folder: Path, tmp_path: Path):
    content = export([region()])
    content["a.png999"] = content["a.png123"]
    annotations = read(write_json(folder / "via.json", content), None)["all"]
    assert len(masks_of(annotations, tmp_path)["a.png"]) == 2
    assert [(problem.kind, problem.severity) for problem in annotations.problems] == [("merged-records", "fixed")]


def test_several_files_in_a_folder_are_a_question(folder: Path):
    for name in ("export.json", "project.json"):
        write_json(folder / name, export([region()]))
    with pytest.raises(ValueError, match=r"export.json, project.json; name one"):
        read(folder, None)


def test_coordinates_are_those_of_the_upright_picture(tmp_path: Path):
    write_picture(tmp_path / "a.jpg", (60, 80), orientation=6)
    annotations = read(write_json(tmp_path / "via.json", export([region()], "a.jpg")), None)["all"]
    assert (annotations.coco["images"][0]["height"], annotations.coco["images"][0]["width"]) == (80, 60)
    assert kinds_of(annotations) == ["ambiguous-orientation"]


def test_the_balloons():
    splits = read(shared("balloon"), None)
    counts = {name: (len(one.coco["images"]), len(one.coco["annotations"])) for name, one in splits.items()}
    assert counts == {"train": (61, 255), "val": (13, 50)}
    assert all(one.problems == () for one in splits.values())
