"""Scenes written as COCO panoptic."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.report.export.coco_panoptic import category_ids, panoptic_dict, segment_boxes, write_panoptic_png
from maskrcnn.report.written import is_ours, write_json
from maskrcnn.structures.panoptic import Panoptic, Segment
from tests.structures.test_panoptic import scene

THINGS, STUFF = ("cat", "dog"), ("grass", "sky")


def test_a_png_of_ids_that_any_reader_reads(tmp_path: Path):
    ids = np.array([[1, 256], [65536, 70000]], np.int32)
    segments = tuple(Segment(int(number), 0, True, 1) for number in ids.ravel())
    write_panoptic_png(tmp_path / "a_panoptic.png", Panoptic(ids, segments, THINGS, STUFF))
    red, green, blue = np.moveaxis(np.asarray(Image.open(tmp_path / "a_panoptic.png")).astype(int), -1, 0)
    assert np.array_equal(red + 256 * green + 65536 * blue, ids)
    assert is_ours(tmp_path / "a_panoptic.png")


def test_the_json(tmp_path: Path):
    document = panoptic_dict([("a.jpg", "a_panoptic.png", scene())], THINGS, STUFF, [17, 18], [193, 187])
    assert document["images"] == [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 2}]
    assert document["categories"] == [
        {"id": 17, "name": "cat", "isthing": 1},
        {"id": 18, "name": "dog", "isthing": 1},
        {"id": 193, "name": "grass", "isthing": 0},
        {"id": 187, "name": "sky", "isthing": 0},
    ]
    (annotation,) = document["annotations"]
    assert (annotation["image_id"], annotation["file_name"]) == (1, "a_panoptic.png")
    dog, cat, sky = annotation["segments_info"]
    assert dog == {"id": 1, "category_id": 18, "area": 3, "bbox": [1, 0, 2, 2], "iscrowd": 0, "score": 0.9}
    assert cat["bbox"] == [0, 1, 2, 1]
    assert sky == {"id": 3, "category_id": 187, "area": 2, "bbox": [3, 0, 1, 2], "iscrowd": 0}
    write_json(tmp_path / "panoptic.json", document)
    assert json.loads((tmp_path / "panoptic.json").read_text()) == document
    assert is_ours(tmp_path / "panoptic.json")


def test_category_ids():
    assert category_ids(THINGS, STUFF) == {(True, 0): 1, (True, 1): 2, (False, 0): 3, (False, 1): 4}
    assert category_ids(THINGS, STUFF, [5, 90])[False, 1] == 92  # behind those of the things
    for ids in ([1], [1, 1], [3, 4]):
        with pytest.raises(ValueError, match="4 distinct category ids"):
            category_ids(THINGS, STUFF, ids, [3, 7])
    with pytest.raises(ValueError, match=r"a\.jpg: expected the classes"):
        panoptic_dict([("a.jpg", "a.png", scene())], THINGS, STUFF[:1])


def test_boxes_are_tight_and_nothing_has_none():
    assert segment_boxes(np.zeros((2, 3), np.int32), ()) == []
    gone = Segment(4, 0, True, 0)
    assert segment_boxes(scene().ids, (*scene().segments, gone)) == [[1, 0, 2, 2], [0, 1, 2, 1], [3, 0, 1, 2], [0] * 4]
