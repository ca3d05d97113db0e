"""Annotations of objects, of scenes and of classes seen as a class for every pixel."""

from pathlib import Path

import numpy as np
import pytest

from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.data.reading import load_annotations
from maskrcnn.structures.label_map import VOID_LABEL
from maskrcnn.structures.rle import encode
from tests.panoptic_set import STUFF, THINGS, make_scene, write_set


def objects(*masks: tuple[int, np.ndarray, int]) -> dict:
    annotations = [
        {"id": i, "image_id": 1, "category_id": category, "iscrowd": crowd, "segmentation": encode(mask)}
        for i, (category, mask, crowd) in enumerate(masks, start=1)
    ]
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 6}],
        "annotations": annotations,
        "categories": [{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}],
    }


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((4, 6), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_objects_lie_on_a_background_the_smaller_ones_above():
    small, large, crowd = (5, box(1, 1, 3, 3), 0), (2, box(0, 0, 5, 4), 0), (5, box(0, 0, 6, 1), 1)
    table = annotations_from_coco(objects(small, large, crowd), Path(), "test")
    data = PixelClasses(table)
    assert data.class_names == ("background", "cat", "dog")
    assert data.background == "background"
    # The crowd is dog, the cat above it, the dog on the cat.
    expected = [[1, 1, 1, 1, 1, 2], [1, 2, 2, 1, 1, 0], [1, 2, 2, 1, 1, 0], [1, 1, 1, 1, 1, 0]]
    assert data.class_map(0).tolist() == expected


def test_a_scene_has_its_things_and_stuff_and_the_rest_is_void(tmp_path: Path):
    file, (scene,) = write_set(tmp_path, 1)
    data = PixelClasses(load_annotations(file))
    assert data.class_names == (*THINGS, *STUFF)
    assert data.background is None
    expected = np.full(scene.ids.shape, VOID_LABEL)
    for segment in scene.segments:
        expected[scene.ids == segment.id] = segment.label + (0 if segment.is_thing else len(THINGS))
    assert np.array_equal(data.class_map(0), expected)
    assert np.array_equal(data.load(0).image, make_scene(0)[0])


def test_some_of_the_pictures_are_spread_over_all(tmp_path: Path):
    file, _ = write_set(tmp_path, 5)
    data = PixelClasses(load_annotations(file))
    some = data.some(3)
    assert some.file_names == ("0.png", "2.png", "4.png")
    assert some.class_names == data.class_names
    assert np.array_equal(some.class_map(1), data.class_map(2))
    assert len(data.some(9)) == 5


def test_val_gets_the_classes_of_train_and_none_that_train_lacks():
    table = annotations_from_coco(objects((5, box(1, 1, 3, 3), 0)), Path(), "test")
    data = PixelClasses(table, ("dog", "bird", "cat", "background"))
    assert np.unique(data.class_map(0)).tolist() == [0, 3]
    with pytest.raises(ValueError, match="test has the class cat, which is none of background, dog"):
        PixelClasses(table, ("background", "dog"))
