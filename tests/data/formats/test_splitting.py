"""Train and val: by name alone, and never a group on both sides."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.formats.splitting import group_by, split_dataset
from maskrcnn.data.problems import Problem

NAMES = [f"plate{plate}_well{well}.png" for plate in range(30) for well in range(10)]


def annotations(names: list[str]) -> Annotations:
    images = [{"id": k, "file_name": name, "height": 4, "width": 4} for k, name in enumerate(names)]
    shape = {"category_id": 1, "iscrowd": 0, "segmentation": [[0, 0, 3, 0, 3, 3]], "bbox": [0, 0, 3, 3], "area": 5}
    objects: list[dict[str, Any]] = [{"id": k, "image_id": k // 2, **shape} for k in range(2 * len(names))]
    coco = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "x"}], "info": {}}
    table = annotations_from_coco(coco, Path("pictures"), "x.json")
    return replace(table, problems=(Problem("warning", "kind", "reason"),))


def names_of(one: Annotations) -> set[str]:
    return {record["file_name"] for record in one.coco["images"]}


def test_every_picture_and_annotation_is_on_one_side():
    whole = annotations(NAMES)
    train, val = split_dataset(whole, 0.3)
    assert names_of(train) | names_of(val) == set(NAMES)
    assert not names_of(train) & names_of(val)
    assert len(names_of(val)) == pytest.approx(0.3 * len(NAMES), rel=0.3)
    for side in (train, val):
        ids = {record["id"] for record in side.coco["images"]}
        expected = [one for one in whole.coco["annotations"] if one["image_id"] in ids]
        assert side.coco["annotations"] == expected
        assert side.coco["categories"] == whole.coco["categories"]
        assert side.coco["info"] == {}
        assert side.image_folder == whole.image_folder
    assert (len(train.problems), len(val.problems)) == (1, 0)


def test_neither_order_nor_more_pictures_move_one():
    _, val = split_dataset(annotations(NAMES), 0.2)
    _, backwards = split_dataset(annotations(NAMES[::-1]), 0.2)
    _, more = split_dataset(annotations(["new.png", *NAMES, "newer.png"]), 0.2)
    _, larger = split_dataset(annotations(NAMES), 0.4)
    assert names_of(backwards) == names_of(val)
    assert names_of(more) - {"new.png", "newer.png"} == names_of(val)
    assert names_of(larger) > names_of(val)


def test_another_seed_divides_otherwise():
    sides = [names_of(split_dataset(annotations(NAMES), 0.5, seed)[1]) for seed in (0, 1, 0)]
    assert sides[0] == sides[2] != sides[1]


@pytest.mark.parametrize("pattern", [r"^(plate\d+)_", r"^plate\d+_", r"(plate)(\d+)"])
def test_a_group_is_never_on_both_sides(pattern: str):
    train, val = split_dataset(annotations(NAMES), 0.3, group_of=group_by(pattern, NAMES))
    plates = [{name.split("_")[0] for name in names_of(side)} for side in (train, val)]
    assert not plates[0] & plates[1]
    assert len(names_of(val)) % 10 == 0
    assert 3 <= len(plates[1]) <= 15


def test_groups_of_two_parts_are_not_mixed_up():
    group_of = group_by(r"(\d*)_(\d*)", ["1_11", "11_1"])
    assert group_of("1_11") != group_of("11_1")


def test_what_cannot_be_divided_is_said():
    for fraction in (0, 1, -0.1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            split_dataset(annotations(NAMES), fraction)
    with pytest.raises(ValueError, match=r"all 1 images \(1 groups\) came to one side"):
        split_dataset(annotations(["a.png"]), 0.5)
    with pytest.raises(ValueError, match=r"all 300 images \(1 groups\) came to one side"):
        split_dataset(annotations(NAMES), 0.5, group_of=group_by("plate", NAMES))
    with pytest.raises(ValueError, match=r"group of 1 images is not told by 'plate': a.png"):
        group_by("plate", [*NAMES, "a.png"])
    with pytest.raises(ValueError, match="expected a regular expression"):
        group_by("(", NAMES)
