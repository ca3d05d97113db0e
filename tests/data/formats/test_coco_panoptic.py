"""COCO panoptic read: things as objects, stuff as labels of pixels, and what is wrong with the rest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.recognise import read_dataset, recognise
from maskrcnn.data.reading import load_annotations
from maskrcnn.report.written import write_json
from maskrcnn.structures.label_map import VOID_LABEL
from maskrcnn.structures.panoptic import Panoptic
from tests.panoptic_set import SIZE, STRIP, STUFF, STUFF_IDS, THING_IDS, THINGS, write_set


def labels_of(scene: Panoptic) -> np.ndarray:
    """0 on things, 1 + label on stuff, void elsewhere."""
    labels = np.full(scene.image_size, VOID_LABEL)
    for segment in scene.segments:
        labels[scene.ids == segment.id] = 0 if segment.is_thing else 1 + segment.label
    return labels


def check(table: Annotations, scenes: list[Panoptic]) -> None:
    assert (table.class_names, table.category_ids) == (THINGS, THING_IDS)
    assert table.stuff is not None
    assert (table.stuff.names, table.stuff.category_ids) == (STUFF, STUFF_IDS)
    assert len(table) == len(scenes)
    for index, scene in enumerate(scenes):
        sample = table.load(index)
        assert sample.targets.label_map is not None
        assert np.array_equal(sample.targets.label_map.sample(SIZE).numpy(), labels_of(scene))
        things = [segment for segment in scene.segments if segment.is_thing]
        assert sorted(sample.targets.labels.tolist()) == sorted(segment.label for segment in things)
        areas = [int(table.mask_areas[row]) for row in table.rows(index)]
        assert sorted(areas) == sorted(segment.area for segment in things)
        assert (sample.targets.label_map.pixels[:, -STRIP:] == VOID_LABEL).all()


def test_a_set_is_read_as_it_was_written(tmp_path: Path):
    file, scenes = write_set(tmp_path, 4)
    assert recognise(file) == recognise(tmp_path) == "coco-panoptic"
    table = read_dataset(file)["all"]
    assert table.problems == ()
    assert table.file == file
    check(table, scenes)
    check(load_annotations(tmp_path), scenes)


def test_splits_are_told_by_the_names(tmp_path: Path):
    _, train = write_set(tmp_path, 3, "panoptic_train2017")
    _, val = write_set(tmp_path, 2, "panoptic_val2017", first_seed=10)
    tables = read_dataset(tmp_path)
    check(tables["train"], train)
    check(tables["val"], val)


def test_a_part_is_written_with_its_stuff_and_read_again(tmp_path: Path):
    file, scenes = write_set(tmp_path, 4)
    table = read_dataset(file)["all"]
    keep = np.array([False, True, False, True])
    part = table.select(keep, np.ones(len(table.names), bool))
    check(part, scenes[1::2])
    write_json(tmp_path / "part" / "part.json", part.to_coco())
    assert recognise(tmp_path / "part" / "part.json") == "coco"
    check(load_annotations(tmp_path / "part" / "part.json", tmp_path / "images"), scenes[1::2])


def test_instance_files_come_first_in_cocos_own_folder(tmp_path: Path):
    file, _ = write_set(tmp_path / "annotations", 2, "panoptic_val2017")
    coco = read_dataset(file)["val" if "val" in read_dataset(file) else "all"].coco
    write_json(tmp_path / "annotations" / "instances_val2017.json", coco)
    assert recognise(tmp_path) == "coco"
    assert recognise(file) == "coco-panoptic"


def test_crowds_are_things_that_need_not_be_found(tmp_path: Path):
    file, scenes = write_set(tmp_path, 1)
    document = json.loads(file.read_text())
    thing = next(s for s in document["annotations"][0]["segments_info"] if s["category_id"] in THING_IDS)
    thing["iscrowd"] = 1
    file.write_text(json.dumps(document))
    table = load_annotations(file)
    assert table.is_crowd.sum() == 1
    label_map = table.label_map(0)
    assert label_map is not None
    assert np.array_equal(label_map, labels_of(scenes[0]))


def segments(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["annotations"][0]["segments_info"]


SPOILT: dict[str, tuple[Callable[[dict[str, Any], Path], object], str]] = {
    "bad-panoptic-record": (lambda d, _: d["annotations"].pop(0), "no record for image '0.png'"),
    "bad-panoptic-record ": (lambda d, _: d["annotations"][0].pop("file_name"), "the file_name of a PNG"),
    "bad-panoptic-record  ": (lambda d, _: d["annotations"].append(d["annotations"][1]), "a second record of image 2"),
    "bad-segment": (lambda d, _: segments(d)[0].update(category_id=99), "expected an id and a category_id"),
    "bad-segment ": (lambda d, _: segments(d)[1].update(id=segments(d)[0]["id"]), "the same id"),
    "bad-segment  ": (lambda d, _: segments(d)[1].update(id=[1]), "expected an id and a category_id"),
    "segment-without-pixels": (lambda d, _: segments(d)[0].update(id=5), "no pixel has this id"),
    "pixels-without-segment": (lambda d, _: segments(d).pop(0), "no segment has this id"),
    "missing-mask": (lambda _, folder: (folder / "0.png").unlink(), "there is no 0.png in"),
    "unreadable-mask": (lambda _, folder: (folder / "0.png").write_bytes(b"no picture"), "cannot be read"),
    "unreadable-mask ": (
        lambda _, folder: cv2.imwrite(str(folder / "0.png"), np.zeros(SIZE, np.uint8)),
        "expected the colours of segment ids",
    ),
    "swapped-size": (lambda d, _: d["images"][0].update(height=SIZE[1], width=SIZE[0]), "the PNG is 96 x 128"),
    "wrong-size": (lambda d, _: d["images"][0].update(height=95), "the PNG is 96 x 128"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_bad_records_are_named_and_the_rest_is_read(kind: str, tmp_path: Path):
    file, scenes = write_set(tmp_path, 3)
    document = json.loads(file.read_text())
    spoil, message = SPOILT[kind]
    spoil(document, file.with_suffix(""))
    file.write_text(json.dumps(document))
    table = read_dataset(file)["all"]
    named = [problem for problem in table.problems if problem.kind == kind.strip()]
    assert named, table.problems
    assert any(message in problem.reason for problem in named)
    assert "0.png" in f"{named[0].file} {named[0].reason}" or kind.startswith("bad-panoptic")
    assert table.file is None
    whole = [index for index in range(len(table)) if table.file_names[index] != "0.png"]
    assert len(whole) == 2
    for index, scene in zip(whole, scenes[1:], strict=True):
        assert np.array_equal(table.label_map(index), labels_of(scene))  # pyright: ignore[reportArgumentType]


def test_stuff_of_our_own_files_that_is_damaged_is_named(tmp_path: Path):
    file, _ = write_set(tmp_path, 2)
    coco = read_dataset(file)["all"].to_coco()
    coco["stuff"]["annotations"][0]["category_id"] = 99
    coco["stuff"]["annotations"][1]["segmentation"] = {"size": [1, 1], "counts": "1"}
    write_json(tmp_path / "own" / "own.json", coco)
    table = read_dataset(tmp_path / "own" / "own.json", tmp_path / "images")["all"]
    assert [problem.kind for problem in table.problems] == ["bad-segment", "rle-size"]
    assert table.stuff is not None
    assert len(table.stuff.labels) == len(coco["stuff"]["annotations"]) - 2
