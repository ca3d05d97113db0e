from pathlib import Path

import pytest

from maskrcnn.data.checks import examine, examples
from maskrcnn.data.checks.examples import choose_examples
from maskrcnn.data.coco_annotations import annotations_from_coco
from tests.data.clean_set import CocoSet, clean_set


def chosen(coco_set: CocoSet) -> list[tuple[str, int, str, dict[int, str]]]:
    splits = {"train": coco_set.coco, "val": coco_set.val}
    examination = examine({name: annotations_from_coco(one, coco_set.folder, name) for name, one in splits.items()})
    return [(example.split, example.image, example.why, example.marks) for example in choose_examples(examination)]


def test_every_split_is_shown(tmp_path: Path):
    # Train has two pictures with three annotations each and val one, so that all are among the fullest.
    found = chosen(clean_set(tmp_path))
    assert found == [
        (split, image, "among the fullest", {}) for split, image in (("train", 0), ("train", 1), ("val", 0))
    ]


def test_pictures_with_problems_are_shown_once_and_the_annotation_is_marked(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    coco_set.annotation(6).update(bbox=[45, 3, 0, 11], area=9000)
    del coco_set.annotation(1)["iscrowd"]  # which is put right
    kinds = "degenerate-box, area-unlike-mask"
    assert [(why, marks) for _, _, why, marks in chosen(coco_set)] == [
        (f"among the fullest; {kinds}", {5: kinds}),
        ("among the fullest", {}),
        ("among the fullest", {}),
    ]


def test_a_picture_of_another_size_is_shown_and_one_that_cannot_be_read_is_not(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    coco_set.coco["images"][0]["height"] = 50
    (tmp_path / "2.png").write_bytes(b"")
    found = chosen(coco_set)
    assert "wrong-size" in found[0][2]
    assert [(split, image) for split, image, _, _ in found] == [("train", 0), ("val", 0)]


def test_every_kind_is_shown_once_before_any_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    coco_set = clean_set(tmp_path)
    coco_set.annotation(1)["area"] = 9000
    coco_set.annotation(4)["area"] = 9000
    coco_set.val["annotations"][0]["bbox"] = [1, 1, 0, 0]
    monkeypatch.setattr(examples, "NUM_FULLEST", 0)
    monkeypatch.setattr(examples, "NUM_RANDOM", 0)
    monkeypatch.setattr(examples, "NUM_WITH_PROBLEMS", 2)
    assert [why for _, _, why, _ in chosen(coco_set)] == ["area-unlike-mask", "degenerate-box"]
