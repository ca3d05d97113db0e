"""Label images beside their pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.formats.label_images import is_format, read
from tests.data.formats.small_sets import (
    HEIGHT,
    WIDTH,
    box_mask,
    kinds_of,
    masks_of,
    shared,
    write_picture,
    write_values,
)


def values(*masks: np.ndarray, dtype: type = np.uint8) -> np.ndarray:
    """The first mask becomes 1, the next 2, ..."""
    return sum((number * mask for number, mask in enumerate(masks, start=1)), np.zeros((HEIGHT, WIDTH))).astype(dtype)


RING = box_mask(10, 10, 30, 30) & ~box_mask(15, 15, 25, 25)
PARTS = box_mask(40, 10, 50, 50) & ~box_mask(40, 20, 50, 25)


@pytest.mark.parametrize(
    ("pictures", "masks", "ending"),
    [
        *(("images", "masks", ending) for ending in ("", "_mask", "_masks", "_label", "_cp_masks")),
        *(("images", "labels", ending) for ending in ("", "_labels")),
        ("PNGImages", "PedMasks", "_mask"),
        ("Images", "Masks", ""),
    ],
)
def test_objects_keep_holes_and_parts_in_every_layout(tmp_path: Path, pictures: str, masks: str, ending: str):
    root = tmp_path / "set"
    write_picture(root / pictures / "deep" / "a.jpg")
    write_values(root / masks / "deep" / f"a{ending}.png", values(RING, PARTS))
    assert is_format(root)
    annotations = read(root, None)["all"]
    (objects,) = masks_of(annotations, tmp_path).values()
    assert [name for name, _ in objects] == ["object", "object"]
    assert np.array_equal(objects[0][1], RING)
    assert np.array_equal(objects[1][1], PARTS)
    assert annotations.problems == ()


def test_every_depth(tmp_path: Path):
    root = tmp_path / "set"
    for number, (dtype, extension) in enumerate([(np.uint8, "png"), (np.uint16, "png"), (np.int32, "tif")]):
        write_picture(root / "images" / f"{number}.png")
        write_values(root / "masks" / f"{number}.{extension}", values(RING, PARTS, dtype=dtype) * 120)
    annotations = read(root, None)["all"]
    assert all(np.array_equal(objects[1][1], PARTS) for objects in masks_of(annotations, tmp_path).values())


def test_numbers_with_gaps_are_objects_and_only_0_is_none(tmp_path: Path):
    write_picture(tmp_path / "images" / "a.png")
    write_picture(tmp_path / "images" / "empty.png")
    write_values(tmp_path / "masks" / "a.png", np.where(RING, 255, 0).astype(np.uint8))
    write_values(tmp_path / "masks" / "empty.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    objects = masks_of(read(tmp_path, None)["all"], tmp_path)
    assert {name: len(found) for name, found in objects.items()} == {"a.png": 1, "empty.png": 0}


def test_one_number_for_objects_far_apart_is_said_but_not_taken_apart(tmp_path: Path):
    write_picture(tmp_path / "images" / "a.png")
    write_values(tmp_path / "masks" / "a.png", values(box_mask(2, 2, 9, 9) | box_mask(50, 40, 58, 48)))
    annotations = read(tmp_path, None)["all"]
    (problem,) = annotations.problems
    assert (problem.severity, problem.kind, problem.annotation_id) == ("warning", "scattered-object", "value 1")
    assert problem.reason.startswith("2 parts")
    assert len(annotations.coco["annotations"]) == 1


def test_what_does_not_fit_is_named_and_the_rest_is_read(tmp_path: Path):
    root = tmp_path / "set"
    for name in ("good", "turned", "lossy", "twice", "alone"):
        write_picture(root / "images" / f"{name}.png")
    good = values(RING)
    write_values(root / "masks" / "good.png", good)
    write_values(root / "masks" / "turned.png", np.ascontiguousarray(good.T))
    Image.fromarray(good).save(root / "masks" / "lossy.jpg")
    write_values(root / "masks" / "twice_mask.png", good)
    write_values(root / "masks" / "twice_label.png", good)
    write_values(root / "masks" / "gone.png", good)
    annotations = read(root, None)["all"]
    assert list(masks_of(annotations, tmp_path)) == ["good.png"]
    found = {problem.kind: (problem.severity, Path(problem.file).name) for problem in annotations.problems}
    assert found == {
        "swapped-size": ("error", "turned.png"),
        "unreadable-mask": ("error", "lossy.jpg"),
        "ambiguous-mask": ("error", "twice.png"),
        "missing-image": ("error", "gone.png"),
        "unannotated-images": ("warning", "images"),
    }


def test_splits_and_a_folder_of_masks_alone(tmp_path: Path):
    for split in ("train", "val"):
        write_picture(tmp_path / "set" / split / "images" / "a.png")
        write_values(tmp_path / "set" / split / "masks" / "a.png", values(RING))
    splits = read(tmp_path / "set", None)
    assert [record["file_name"] for one in splits.values() for record in one.coco["images"]] == [
        "train/images/a.png",
        "val/images/a.png",
    ]
    alone = read(tmp_path / "set" / "train" / "masks", tmp_path / "set" / "train" / "images")["all"]
    assert kinds_of(alone) == []
    assert len(alone.coco["annotations"]) == 1
    with pytest.raises(ValueError, match="expected a folder of images"):
        read(tmp_path / "set" / "train" / "masks", None)


def test_pedestrians_exactly(tmp_path: Path):
    folder = shared("pennfudan")
    annotations = read(folder, None)["all"]
    assert annotations.problems == ()
    number = 0
    for name, objects in masks_of(annotations, tmp_path).items():
        mask = np.asarray(Image.open(folder / "PedMasks" / f"{Path(name).stem}_mask.png"))
        assert len(objects) == mask.max()
        assert all(np.array_equal(found, mask == value) for value, (_, found) in enumerate(objects, start=1))
        number += len(objects)
    assert (len(annotations.coco["images"]), number) == (60, 153)
