"""COCO files pass through, with their splits and the folder of their pictures found."""

import json
from pathlib import Path
from typing import Any

import pytest

from maskrcnn.data.formats.coco import is_format, read
from maskrcnn.data.reading import load_annotations
from tests.data.formats.small_sets import HEIGHT, WIDTH, shared, write_json, write_picture

SQUARE = [[10, 20, 30, 20, 30, 40, 10, 40]]


def coco(*names: str, category_id: int = 7) -> dict[str, Any]:
    """One square on each picture."""
    images = [{"id": 10 + k, "file_name": name, "height": HEIGHT, "width": WIDTH} for k, name in enumerate(names)]
    annotations = [
        {"id": 5 + k, "image_id": 10 + k, "category_id": category_id, "iscrowd": 0, "segmentation": SQUARE}
        | {"bbox": [10, 20, 20, 20], "area": 400}
        for k in range(len(names))
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "fig"}]}


def test_a_file_comes_as_it_is(tmp_path: Path):
    write_picture(tmp_path / "a.png")
    content = coco("a.png") | {"licenses": [{"id": 1}], "info": {"year": 2017}}
    file = write_json(tmp_path / "x.json", content)
    assert is_format(file)
    annotations = read(file, None)["all"]
    assert annotations.coco == content
    assert annotations.image_folder == tmp_path
    assert annotations.problems == ()


@pytest.mark.parametrize(
    ("files", "pictures", "splits"),
    [
        (["annotations/instances.json"], "images", ["all"]),
        (["trainval.json"], "images", ["all"]),
        (["annotations/instances_train2017.json", "annotations/instances_val2017.json"], "{}2017", ["train", "val"]),
        (["annotations/instances_train2017.json", "annotations/instances_val2017.json"], "images/{}", ["train", "val"]),
        (["instances_train.json", "instances_val.json"], "{}", ["train", "val"]),
        (["train/_annotations.coco.json", "valid/_annotations.coco.json"], "{}", ["train", "val"]),
        (["train.json", "val.json"], ".", ["train", "val"]),
    ],
)
def test_layouts_in_use(tmp_path: Path, files: list[str], pictures: str, splits: list[str]):
    root = tmp_path / "set"
    for file in files:
        split = "valid" if "valid" in file else "val" if "val" in file and "trainval" not in file else "train"
        for name in ("1.png", "2.png"):  # the same in each split, as many exports have them
            write_picture(root / pictures.format(split) / name)
        write_json(root / file, coco("1.png", "2.png"))
    write_json(root / Path(files[0]).parent / "captions_train2017.json", {"images": [], "annotations": []})
    assert is_format(root)
    result = read(root, None)
    assert list(result) == splits
    for split, annotations in result.items():
        folder = "valid" if split == "val" and "valid" in files[-1] else split
        assert annotations.image_folder == root / pictures.format(folder)
        for record in annotations.coco["images"]:
            assert (annotations.image_folder / record["file_name"]).is_file()


def test_keypoints_beside_instances_are_not_a_second_train_split(tmp_path: Path):
    write_picture(tmp_path / "images" / "a.png")
    for name in ("instances_train2017", "person_keypoints_train2017"):
        write_json(tmp_path / "annotations" / f"{name}.json", coco("a.png"))
    assert list(read(tmp_path, None)) == ["train"]


@pytest.mark.parametrize("names", [("a.json", "b.json"), ("train_1.json", "train_2.json")])
def test_files_that_cannot_be_told_apart_are_a_question(tmp_path: Path, names: tuple[str, str]):
    for name in names:
        write_json(tmp_path / name, coco("a.png"))
    with pytest.raises(ValueError, match=rf"{names[0]}, {names[1]}.*name one of them"):
        read(tmp_path, tmp_path)


def test_pictures_that_are_nowhere_are_said_with_where_was_looked(tmp_path: Path):
    write_json(tmp_path / "set" / "x.json", coco("a.png"))
    with pytest.raises(FileNotFoundError, match=r"x.json: the images, such as a.png, are not in .*set"):
        read(tmp_path / "set", None)


def test_what_cannot_be_used_is_named_and_left_out(tmp_path: Path):
    for name in "abc":
        write_picture(tmp_path / f"{name}.png")
    content = coco("a.png", "b.png", "gone.png", "c.png")
    content["images"].append({"id": 10, "file_name": "second with this id.png", "height": 5, "width": 5})
    annotation = content["annotations"][0]
    content["annotations"] += [
        annotation | {"id": 20, "segmentation": [[1, 1, 5, 5]]},
        annotation | {"id": 21, "category_id": 8},
        annotation | {"id": 22, "image_id": 99},
        annotation | {"id": 5},
        annotation | {"id": 23, "iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}},
        annotation | {"id": 24, "segmentation": [[100, 100, 120, 100, 110, 120]]},
        "no annotation",
    ]
    file = write_json(tmp_path / "x.json", content)
    annotations = read(file, tmp_path)["all"].without_missing_images().usable()
    # The second of one id is an object of its own, with the number after the largest.
    assert [one["id"] for one in annotations.coco["annotations"]] == [5, 6, 8, 25, 23]
    assert [record["file_name"] for record in annotations.coco["images"]] == ["a.png", "b.png", "c.png"]
    found = sorted((p.kind, p.annotation_id) for p in annotations.problems if p.kind != "missing-image")
    assert [p.file for p in annotations.problems if p.kind == "missing-image"] == [str(tmp_path / "gone.png")]
    assert found == [
        ("bad-annotation", "number 10"),
        ("duplicate-image-id", ""),
        ("mask-outside-image", "24"),
        ("renumbered-annotation", "5"),
        ("two-point-polygon", "20"),
        ("unknown-category", "21"),
        ("unknown-image", "22"),
    ]
    assert len(load_annotations(write_json(tmp_path / "usable.json", annotations.coco), tmp_path)) == 3


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("nuclei", {"train": (540, 23653), "val": (62, 3016)}),
        ("coco-sample", {"all": (150, 1139)}),
        ("nuts", {"all": (18, 165)}),
    ],
)
def test_real_sets_pass_through(name: str, counts: dict[str, tuple[int, int]]):
    splits = read(shared(name), None)
    assert {split: (len(one.coco["images"]), len(one.coco["annotations"])) for split, one in splits.items()} == counts
    for annotations in splits.values():
        assert all((annotations.image_folder / record["file_name"]).is_file() for record in annotations.coco["images"])


def test_nothing_of_a_good_file_is_left_out():
    annotations = read(shared("coco-sample"), None)["all"]
    kept = annotations.without_missing_images().usable()
    assert json.dumps(kept.coco, sort_keys=True) == json.dumps(annotations.coco, sort_keys=True)
    assert kept.problems == ()
