"""Files for other programs: readable by the programs they are for, and never half written."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskrcnn.report.counts_table import CountRow, counts_csv
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.report.written import is_ours, write_drawing, write_image, write_json
from maskrcnn.structures.instances import Instances

NAMES = ("chair", "Stühle, alte")


def _instances(image_size: tuple[int, int] = (20, 30)) -> Instances:
    return Instances(
        image_size=image_size,
        boxes=torch.tensor([[1.25, 2.0, 9.5, 10.0], [10.0, 5.0, 14.0, 9.0]]),
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.75, 0.5]),
        mask_probs=torch.ones(2, 4, 4),
        class_names=NAMES,
    )


def test_coco_opens_what_was_written(tmp_path: Path) -> None:
    empty = Instances.empty((5, 6), NAMES)
    write_json(tmp_path / "new" / "coco.json", coco_dict([("a.png", _instances()), ("b.png", empty)], NAMES, [62, 7]))
    coco = COCO(str(tmp_path / "new" / "coco.json"))
    assert [coco.imgs[i] for i in (1, 2)] == [
        {"id": 1, "file_name": "a.png", "width": 30, "height": 20},
        {"id": 2, "file_name": "b.png", "width": 6, "height": 5},
    ]
    assert {i: c["name"] for i, c in coco.cats.items()} == {62: "chair", 7: "Stühle, alte"}
    first, second = (dict[str, Any](a) for a in coco.loadAnns(coco.getAnnIds(imgIds=[1])))
    assert coco.getAnnIds(imgIds=[2]) == []
    assert (first["number"], second["number"]) == (1, 2)
    assert (first["id"], first["category_id"], first["score"], first["iscrowd"]) == (1, 7, 0.75, 0)
    assert first["bbox"] == [1.25, 2.0, 8.25, 8.0]
    assert second["category_id"] == 62
    for annotation, bitmap in zip((first, second), _instances().bitmaps(), strict=True):
        assert isinstance(annotation["segmentation"]["counts"], str)
        assert np.array_equal(coco_mask.decode(annotation["segmentation"]), bitmap)
        assert annotation["area"] == bitmap.sum()


def test_coco_default_ids_and_nothing() -> None:
    assert [c["id"] for c in coco_dict([("a.png", _instances())], NAMES)["categories"]] == [1, 2]
    assert coco_dict([], NAMES)["annotations"] == []


@pytest.mark.parametrize("ids", [[1], [1, 1], [1, 2, 3]])
def test_coco_ids_fit_the_classes(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="expected 2 distinct category ids"):
        coco_dict([("a.png", _instances())], NAMES, ids)


def test_coco_of_two_models() -> None:
    with pytest.raises(ValueError, match=r"b\.png: expected the classes"):
        coco_dict([("a.png", _instances()), ("b.png", Instances.empty((4, 4), ("cat",)))], NAMES)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    rows = [
        CountRow("a,1.png", {"fig": 2, "Nuß": 0}, "ok"),
        CountRow("b.png", {"fig": 1, "date": 4}, "limit reached: one; two"),
        CountRow("c.png", None, "unreadable: empty"),
        CountRow("d.tif", {"date": 1}, "ok", 12),
    ]
    counts_csv(path, rows, ["fig", "Nuß", "date"])
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["file", "page", "fig", "Nuß", "date", "total", "status"],
            ["a,1.png", "", "2", "0", "0", "2", "ok"],
            ["b.png", "", "1", "0", "4", "5", "limit reached: one; two"],
            ["c.png", "", "", "", "", "", "unreadable: empty"],
            ["d.tif", "12", "0", "0", "1", "1", "ok"],
        ]
    counts_csv(path, [], [])
    assert path.read_text() == "file,page,total,status\n"


def test_no_cell_is_a_formula_and_any_name_can_be_written(tmp_path: Path) -> None:
    names = ["=1+1.png", "\t=1.png", "odd \udcff.png", "\x1b[31m.png"]
    counts_csv(
        tmp_path / "counts.csv", [CountRow(name, {"@a": 1, "\ud800": 2}, "ok") for name in names], ["@a", "\ud800"]
    )
    with (tmp_path / "counts.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.reader(file))
    assert table[0] == ["file", "page", "'@a", r"\ud800", "total", "status"]
    assert [row[0] for row in table[1:]] == ["'=1+1.png", r"'\t=1.png", r"odd \xff.png", r"\x1b[31m.png"]
    assert {tuple(row[1:]) for row in table[1:]} == {("", "1", "2", "3", "ok")}


def test_coco_of_names_that_are_not_utf8(tmp_path: Path) -> None:
    found = Instances.empty((4, 4), ("\ud800",))
    write_json(tmp_path / "coco.json", coco_dict([("odd \udcff.png", found)], ["\ud800"]))
    written = json.loads((tmp_path / "coco.json").read_bytes().decode())
    assert written["images"][0]["file_name"] == r"odd \xff.png"
    assert written["categories"][0]["name"] == r"\ud800"


@pytest.mark.parametrize(("name", "value"), [("scores", float("nan")), ("boxes", float("inf"))])
def test_coco_without_numbers_that_json_cannot_hold(name: str, value: float) -> None:
    tensor = getattr(_instances(), name).clone()
    tensor[1] = value
    with pytest.raises(ValueError, match=rf"a\.png: {name} of object 1 are no finite numbers: "):
        coco_dict([("a.png", replace(_instances(), **{name: tensor}))], NAMES)


def test_our_own_files_are_known(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    ours, other = tmp_path / "ours", tmp_path / "other"
    write_drawing(ours / "a_instances.png", image)
    write_image(other / "a_instances.png", image)
    counts_csv(ours / "counts.csv", [CountRow("a", {"=x": 1}, "ok")], ["=x"])
    (other / "counts.csv").write_text("file,nucleus,total\na,1,1\n")
    write_json(ours / "instances.json", coco_dict([], NAMES))
    write_json(other / "instances.json", {"images": []})
    assert {path.name: is_ours(path) for path in ours.iterdir()} == {
        "a_instances.png": True,
        "counts.csv": True,
        "instances.json": True,
    }
    for path in list(other.iterdir()):
        assert not is_ours(path), path
        path.write_bytes(b"")
        assert not is_ours(path), path
        path.write_bytes(b"\xff\x00\n" * 40)
        assert not is_ours(path), path
        path.unlink()
        assert not is_ours(path), path
        path.mkdir()
        assert not is_ours(path), path
    with Image.open(ours / "a_instances.png") as picture:  # the mark is a text as any other
        assert picture.info == {"Software": "maskrcnn"}
    assert np.array_equal(cv2.imread(str(ours / "a_instances.png")), image)


def test_image(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    write_image(tmp_path / "picture_ü.png", image)
    data = np.fromfile(tmp_path / "picture_ü.png", np.uint8)
    assert np.array_equal(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1], image)
    for name in ("picture", "picture.xyz"):
        with pytest.raises(ValueError, match="expected an image's extension"):
            write_image(tmp_path / name, image)


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match=r"a\.json: not written, since JSON cannot hold"):
        write_json(tmp_path / "a.json", [float("nan")])

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(tmp_path / "a.json", [2])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"], "the unfinished file was left behind"
