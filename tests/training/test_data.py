"""What `--allow` leaves out of the data of a training run, and what stays."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrcnn.config import DataSettings
from maskrcnn.data.problems import DataError
from maskrcnn.data.reading import load_annotations
from maskrcnn.training.data import _told_apart, load_data, prepare_data
from tests.coco_files import TRAIN_SCENES, VAL_SCENES, write_coco


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A folder with train.json, val.json and images."""
    write_coco(tmp_path / "data", "train", TRAIN_SCENES)
    write_coco(tmp_path / "data", "val", VAL_SCENES)
    return tmp_path / "data"


def annotations(path: str | None) -> list[dict[str, Any]]:
    assert path is not None
    return json.loads(Path(path).read_text())["annotations"]


def changed(path: Path, **annotation: object) -> list[dict[str, Any]]:
    """The annotations in `path`, whose first one gets other values."""
    content = json.loads(path.read_text())
    content["annotations"][0] |= annotation
    path.write_text(json.dumps(content))
    return content["annotations"]


def settings(coco: Path, *allow: str) -> DataSettings:
    train, val, images = (str(coco / name) for name in ("train.json", "val.json", "images"))
    return DataSettings(train=train, val=val, images=images, allow=allow)


def test_a_bad_annotation_goes_and_the_one_of_the_same_id_in_val_stays(coco: Path, tmp_path: Path):
    before = changed(coco / "train.json", bbox=[10, 10, 0, 5])
    in_val = annotations(str(coco / "val.json"))
    assert before[0]["id"] == in_val[0]["id"] == 1
    prepared, (train, _) = prepare_data(settings(coco, "degenerate-box"), 0, tmp_path / "run")
    assert len(train.names) == len(before) - 1
    assert annotations(prepared.train) == before[1:]
    assert annotations(prepared.val) == in_val


def test_the_second_of_two_annotations_of_one_id_gets_another(coco: Path, tmp_path: Path):
    before = changed(coco / "train.json", id=2)
    prepared, (train, _) = prepare_data(settings(coco), 0, tmp_path / "run")
    assert prepared.train == str((coco / "train.json").resolve())  # it is read so every time
    assert train.annotation_ids.tolist() == [2, len(before) + 1, *(one["id"] for one in before[2:])]


def test_the_sets_that_are_given_are_those_that_a_resumed_run_reads(coco: Path, tmp_path: Path):
    changed(coco / "train.json", bbox=[10, 10, 0, 5])
    both = settings(coco, "degenerate-box").model_copy(update={"val": None, "val_fraction": 0.5})
    prepared, sets = prepare_data(both, 2, tmp_path / "run")
    for given, read in zip(sets, load_data(prepared), strict=True):
        assert given is not None
        assert read is not None
        assert (given.file_names, given.image_ids, given.class_names) == (
            read.file_names,
            read.image_ids,
            read.class_names,
        )
        for column in ("annotation_ids", "image", "labels", "is_crowd", "boxes_xywh", "areas", "rle_bytes"):
            np.testing.assert_array_equal(getattr(given, column), getattr(read, column), column)


RECORDS: dict[str, Any] = {
    "images": [None, 5, {}, {"id": 1}, {"file_name": "x"}, {"id": [1], "file_name": "x"}, {"id": 1, "file_name": 5}],
    "annotations": [None, "x", {}, {"id": 1}, {"image_id": []}, {"image_id": {}, "category_id": []}],
    "categories": [None, {}, {"name": "x"}, {"id": {}, "name": "x"}, {"id": 1, "name": None}],
}


@pytest.mark.parametrize("key", RECORDS)
@pytest.mark.parametrize("val_fraction", [0.0, 0.5])
def test_bad_records_are_named_or_left_out_and_never_a_traceback(
    coco: Path, tmp_path: Path, key: str, val_fraction: float
):
    content = json.loads((coco / "train.json").read_text())
    for record in RECORDS[key]:
        spoilt = {**content, key: [*content[key], record]}
        (coco / "spoilt.json").write_text(json.dumps(spoilt))
        data = DataSettings(train=str(coco / "spoilt.json"), images=str(coco / "images"), val_fraction=val_fraction)
        with pytest.raises(DataError, match=r"spoilt\.json") as error:
            prepare_data(data, 0, tmp_path / "run")
        assert error.value.allowable, record
        allowed = data.model_copy(update={"allow": tuple(error.value.allowable)})
        _, (train, val) = prepare_data(allowed, 0, tmp_path / "run")
        assert len(train) + (len(val) if val is not None else 0) == len(content["images"])


def test_only_what_can_be_allowed_is_offered_and_taken(coco: Path, tmp_path: Path):
    content = json.loads((coco / "train.json").read_text())
    content["categories"].append({**content["categories"][0], "id": 99})
    (coco / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        prepare_data(settings(coco), 0, tmp_path / "run")
    assert {problem.kind for problem in error.value.problems} >= {"duplicate-category-name"}
    assert error.value.allowable == []
    with pytest.raises(ValueError, match="duplicate-category-name cannot be allowed: two classes of one name"):
        prepare_data(settings(coco, "duplicate-category-name"), 0, tmp_path / "run")
    with pytest.raises(ValueError, match="there is no kind of error 'typo'; expected some of ambiguous-mask"):
        prepare_data(settings(coco, "typo"), 0, tmp_path / "run")


def test_sets_of_one_file_say_which_of_them_they_are(coco: Path):
    train, val = (load_annotations(coco / f"{name}.json", coco / "images") for name in ("train", "val"))
    apart = _told_apart({"train": train, "val": val})
    assert (apart["train"].source, apart["val"].source) == (train.source, val.source)
    together = _told_apart({"train": train, "val": replace(val, source=train.source)})
    assert [one.source for one in together.values()] == [f"{train.source} (train)", f"{train.source} (val)"]


def test_a_picture_in_both_sets_stays_where_it_is_trained_on(tmp_path: Path):
    folder = tmp_path / "data"
    write_coco(folder, "train", TRAIN_SCENES)
    write_coco(folder, "val", [*VAL_SCENES, TRAIN_SCENES[1]])
    with pytest.raises(DataError) as error:
        prepare_data(settings(folder), 0, tmp_path / "run")
    assert error.value.allowable == ["image-in-two-splits"]
    _, (train, val) = prepare_data(settings(folder, "image-in-two-splits"), 0, tmp_path / "run")
    assert val is not None
    assert train.file_names == tuple(f"train_{i}.png" for i in range(1, 5))
    assert val.file_names == ("val_1.png", "val_2.png")


def test_boxes_of_another_convention_leave_nothing_out(coco: Path, tmp_path: Path):
    # x0 y0 x1 y1 in place of x y w h, in every annotation: masks are right, and training reads boxes from them.
    content = json.loads((coco / "train.json").read_text())
    for one in content["annotations"]:
        x, y, w, h = one["bbox"]
        one["bbox"] = [x, y, x + w, y + h]
    (coco / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        prepare_data(settings(coco), 0, tmp_path / "run")
    _, (train, _) = prepare_data(settings(coco, *error.value.allowable), 0, tmp_path / "run")
    kinds = {problem.kind for problem in error.value.problems}
    assert kinds == {"xyxy-boxes"}
    assert len(train.names) == len(content["annotations"])
