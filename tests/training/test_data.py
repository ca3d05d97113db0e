"""What `--allow` leaves out of the data of a training run, and what stays."""

import json
from pathlib import Path
from typing import Any

import pytest

from maskrcnn.config import DataSettings
from maskrcnn.training.data import prepare_data


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
    prepared = prepare_data(settings(coco, "degenerate-box"), 0, tmp_path / "run")
    assert annotations(prepared.train) == before[1:]
    assert annotations(prepared.val) == in_val


def test_the_first_of_two_annotations_of_one_id_stays(coco: Path, tmp_path: Path):
    before = changed(coco / "train.json", id=2)
    with pytest.raises(ValueError, match=r"1 errors in the data: annotation 2 in .*\(duplicate-annotation-id\)"):
        prepare_data(settings(coco), 0, tmp_path / "run")
    prepared = prepare_data(settings(coco, "duplicate-annotation-id"), 0, tmp_path / "run")
    assert annotations(prepared.train) == [before[0], *before[2:]]
    assert annotations(prepared.val) == annotations(str(coco / "val.json"))


def test_both_of_one_id_go_where_one_has_another_error_too(coco: Path, tmp_path: Path):
    # The id does not tell which of the two is the bad one.
    before = changed(coco / "train.json", id=2, bbox=[10, 10, 0, 5])
    allowed = settings(coco, "duplicate-annotation-id", "degenerate-box")
    assert annotations(prepare_data(allowed, 0, tmp_path / "run").train) == before[2:]
