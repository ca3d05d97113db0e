"""YOLO segmentation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.yolo import is_format, read
from tests.data.formats.small_sets import HEIGHT, WIDTH, box_mask, iou, kinds_of, masks_of, write_picture

SQUARE = "0.125 0.25 0.375 0.25 0.375 0.75 0.125 0.75"  # x 10 to 30 of 80, y 15 to 45 of 60


def write_yaml(folder: Path, name: str = "data.yaml", **content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(yaml.safe_dump(content))
    return folder / name


def write_labels(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    write_picture(root / "images" / "train" / "a.v1.png")
    write_labels(root / "labels" / "train" / "a.v1.txt", f"1 {SQUARE}")
    write_yaml(root, train="images/train", names=["fig", "date"])
    return root


def read_lines(folder: Path, *lines: str) -> Annotations:
    write_labels(folder / "labels" / "train" / "a.v1.txt", *lines)
    return read(folder, None)["train"]


def test_polygons_in_shares_of_the_sides(folder: Path, tmp_path: Path):
    assert is_format(folder)
    assert is_format(folder / "data.yaml")
    annotations = read_lines(folder, f"1 {SQUARE}", "", f"0.0 {SQUARE}")
    (one, two) = masks_of(annotations, tmp_path)["a.v1.png"]
    assert (one[0], two[0]) == ("date", "fig")
    assert iou(one[1], box_mask(10, 15, 30, 45)) > 0.9
    assert annotations.problems == ()


@pytest.mark.parametrize("seed", range(3))
def test_a_polygon_comes_back_to_its_pixels(folder: Path, seed: int):
    points = np.random.default_rng(seed).uniform(1, HEIGHT - 1, (6, 2))
    shares = (points / (WIDTH, HEIGHT)).ravel()
    (annotation,) = read_lines(folder, f"0 {' '.join(f'{share:.9f}' for share in shares)}").coco["annotations"]
    assert np.allclose(np.reshape(annotation["segmentation"][0], (-1, 2)), points, atol=1e-3)


def test_classes_keep_their_numbers_even_unused(folder: Path):
    for names in ({0: "fig", 1: "date", 2: "nut"}, ["fig", "date", "nut"]):
        write_yaml(folder, train="images/train", names=names)
        categories = read(folder, None)["train"].coco["categories"]
        assert categories == [{"id": 1, "name": "fig"}, {"id": 2, "name": "date"}, {"id": 3, "name": "nut"}]


def test_boxes_become_rectangles_and_are_said(folder: Path, tmp_path: Path):
    annotations = read_lines(folder, "1 0.25 0.5 0.25 0.5", f"1 {SQUARE}")
    (rectangle, polygon) = masks_of(annotations, tmp_path)["a.v1.png"]
    assert np.array_equal(rectangle[1], polygon[1])
    assert [(problem.kind, problem.reason[:6]) for problem in annotations.problems] == [("box-only", "1 of 2")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"2 {SQUARE}", "unknown-category"),
        (f"-1 {SQUARE}", "unknown-category"),
        (f"0.5 {SQUARE}", "unknown-category"),
        (f"0 {SQUARE} 0.9", "malformed-shape"),  # a confidence, or a lost number
        ("0 0.1 0.2", "malformed-shape"),
        ("0", "malformed-shape"),
        ("0 10 15 30 15 30 45", "not-normalised"),
        ("0 0.1 nan 0.3 0.4 0.5 0.6", "malformed-shape"),
        ("fig 0.1 0.2 0.3 0.4 0.5 0.6", "malformed-shape"),
        ("0 1.1 1.1 1.2 1.1 1.2 1.2", "mask-outside-image"),
    ],
)
def test_a_line_that_is_no_object_is_named_and_the_others_stay(folder: Path, line: str, kind: str):
    annotations = read_lines(folder, f"0 {SQUARE}", line, f"1 {SQUARE}")
    (problem,) = annotations.problems
    assert (problem.severity, problem.kind, problem.annotation_id) == ("error", kind, "line 2")
    assert problem.file == str(folder / "labels" / "train" / "a.v1.txt")
    assert len(annotations.coco["annotations"]) == 2


def test_an_outline_a_little_outside_is_clipped(folder: Path, tmp_path: Path):
    annotations = read_lines(folder, "0 -0.01 -0.01 1.01 -0.01 1.01 1.01 -0.01 1.01")
    assert masks_of(annotations, tmp_path)["a.v1.png"][0][1].all()
    assert annotations.problems == ()


@pytest.mark.parametrize("style", ["folders", "path", "another machine", "list of folders", "file list", "roboflow"])
def test_every_way_to_name_the_splits(tmp_path: Path, style: str):
    root = tmp_path / "set"
    places = {
        split: f"{split}/images" if style == "roboflow" else f"images/{split}" for split in ("train", "valid", "test")
    }
    for split, place in places.items():
        write_picture(root / place / f"{split}.png")
        write_labels(root / place.replace("images", "labels") / f"{split}.txt", f"0 {SQUARE}")
    content: dict[str, Any] = {"train": places["train"], "val": places["valid"], "test": places["test"]}
    file = root / "data.yaml"
    if style == "path":
        content["path"] = "../set"
        file = tmp_path / "conf" / "data.yaml"
    if style == "another machine":
        content["path"] = "/home/somebody/set"
    if style == "list of folders":
        content["train"] = [places["train"]]
    if style == "file list":
        (root / "train.txt").write_text("./images/train/train.png\n")
        content["train"] = "train.txt"
    if style == "roboflow":
        content = {key: f"../{place}" for key, place in content.items()}
    write_yaml(file.parent, names=["fig"], nc=1, **content)
    splits = read(file, None)
    assert list(splits) == ["train", "val", "test"]
    for split, annotations in splits.items():
        assert annotations.problems == (), split
        assert len(annotations.coco["annotations"]) == 1
        (record,) = annotations.coco["images"]
        assert (annotations.image_folder / record["file_name"]).is_file()


def test_a_picture_without_label_file_has_no_objects_and_is_said(folder: Path, tmp_path: Path):
    write_picture(folder / "images" / "train" / "empty.png")
    annotations = read(folder, None)["train"]
    assert {name: len(objects) for name, objects in masks_of(annotations, tmp_path).items()} == {
        "a.v1.png": 1,
        "empty.png": 0,
    }
    assert kinds_of(annotations) == ["no-label-file"]
    assert "1 image (empty.png)" in annotations.problems[0].reason


def test_a_label_file_without_picture_and_a_split_without_folder_are_named(folder: Path):
    write_labels(folder / "labels" / "train" / "gone.txt", f"0 {SQUARE}")
    write_labels(folder / "labels" / "train" / "classes.txt", "fig", "date")
    write_yaml(folder, train="images/train", val="images/val", names=["fig", "date"])
    annotations = read(folder, None)["train"]
    assert kinds_of(annotations) == ["missing-split", "missing-image"]
    assert "there is no images/val" in annotations.problems[0].reason
    assert annotations.problems[1].file.endswith("gone.txt")


def test_a_listed_picture_that_is_not_there_is_named_once(folder: Path):
    (folder / "train.txt").write_text("images/train/a.v1.png\nimages/train/gone.png\n")
    write_labels(folder / "labels" / "train" / "gone.txt", f"0 {SQUARE}")
    write_yaml(folder, train="train.txt", names=["fig", "date"])
    assert kinds_of(read(folder, None)["train"]) == ["missing-image"]


def test_shares_are_of_the_upright_picture(folder: Path, tmp_path: Path):
    write_picture(folder / "images" / "train" / "turned.jpg", (WIDTH, HEIGHT), orientation=8)
    write_labels(folder / "labels" / "train" / "turned.txt", f"0 {SQUARE}")
    annotations = read(folder, None)["train"]
    objects = masks_of(annotations, tmp_path)
    assert np.array_equal(objects["turned.jpg"][0][1], objects["a.v1.png"][0][1])
    assert kinds_of(annotations) == ["ambiguous-orientation"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"names": ["a", "a"]}, "each once"),
        ({"names": "fig"}, "expected names"),
        ({"names": {1: "fig", 2: "date"}}, r"0 to 1, got \[1, 2\]"),
        ({"names": ["fig"], "nc": 2}, "nc is 2, but there are 1 names"),
        ({"names": ["fig"], "train": "nowhere"}, "no image can be used.*there is no nowhere"),
    ],
)
def test_a_file_that_does_not_name_its_classes_or_pictures_is_refused(folder: Path, content: Any, reason: str):
    write_yaml(folder, **({"train": "images/train"} | content))
    with pytest.raises(ValueError, match=f"data.yaml: .*{reason}"):
        read(folder, None)


def test_several_files_are_a_question(folder: Path):
    write_yaml(folder, "other.yaml", train="images/train", names=["fig"])
    with pytest.raises(ValueError, match=r"data.yaml, other.yaml; name one"):
        read(folder, None)
