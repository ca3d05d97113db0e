"""Pascal VOC segmentation and its relatives."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.formats.voc import VOC_NAMES, is_format, palette_places, read
from tests.data.formats.small_sets import HEIGHT, WIDTH, box_mask, kinds_of, masks_of, write_picture

ONE, TWO = box_mask(10, 10, 30, 30), box_mask(40, 10, 60, 40)
BORDER = box_mask(8, 8, 32, 32) & ~ONE


def color_of(place: int) -> tuple[int, int, int]:
    """The palette of VOC's development kit, bit by bit; from 256 on it goes on with the lower bits of the channels."""
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (place & 1) << shift
        green |= (place >> 1 & 1) << shift
        blue |= (place >> 2 & 1) << shift
        place >>= 3
    return red, green, blue


def write_palette(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette([channel for place in range(256) for channel in color_of(place)])
    image.save(path)


def write_colors(path: Path, values: np.ndarray, colors: dict[int, tuple[int, int, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((*values.shape, 3), np.uint8)
    for value, color in colors.items():
        rgb[values == value] = color
    Image.fromarray(rgb).save(path)


def masks(first: int = 15, second: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """SegmentationObject and SegmentationClass of two objects, one with a void border."""
    void = BORDER * 255
    return ONE * 1 + TWO * 2 + void, ONE * first + TWO * second + void


def write_set(root: Path, *stems: str) -> Path:
    objects, classes = masks()
    for stem in stems:
        write_picture(root / "JPEGImages" / f"{stem}.jpg")
        write_palette(root / "SegmentationObject" / f"{stem}.png", objects)
        write_palette(root / "SegmentationClass" / f"{stem}.png", classes)
    return root


def test_objects_without_their_borders_and_their_classes(tmp_path: Path):
    root = write_set(tmp_path / "set", "a")
    assert is_format(root)
    annotations = read(root, None)["all"]
    (one, two) = masks_of(annotations, tmp_path)["a.jpg"]
    assert (one[0], two[0]) == ("person", "dog")
    assert np.array_equal(one[1], ONE)
    assert np.array_equal(two[1], TWO)
    assert [category["name"] for category in annotations.coco["categories"]] == list(VOC_NAMES)
    assert kinds_of(annotations) == ["assumed-class-names"]


def test_the_lists_are_the_splits(tmp_path: Path):
    root = write_set(tmp_path, "a", "b", "c", "unlisted")
    write_picture(root / "JPEGImages" / "detection_only.jpg")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name, stems in {"train": "a\nb\n", "val": "c\n", "trainval": "a\nb\nc\n", "test": ""}.items():
        (lists / f"{name}.txt").write_text(stems)
    splits = read(root, None)
    assert {name: [record["file_name"] for record in one.coco["images"]] for name, one in splits.items()} == {
        "train": ["a.jpg", "b.jpg"],
        "val": ["c.jpg"],
    }


def test_the_class_is_that_of_most_pixels_and_a_mixture_is_said(tmp_path: Path):
    root = write_set(tmp_path, "a")
    _, classes = masks()
    classes[10:16, 10:30] = 3  # 6 of 20 rows of the first object
    write_palette(root / "SegmentationClass" / "a.png", classes)
    annotations = read(root, None)["all"]
    assert masks_of(annotations, tmp_path)["a.jpg"][0][0] == "person"
    (problem,) = (problem for problem in annotations.problems if problem.kind == "mixed-classes")
    assert problem.annotation_id == "object 1"
    assert problem.reason == "70% of its pixels are person"


@pytest.mark.parametrize(("value", "kind"), [(0, "no-class"), (255, "no-class"), (21, "unknown-category")])
def test_an_object_without_a_known_class_is_named(tmp_path: Path, value: int, kind: str):
    root = write_set(tmp_path, "a")
    write_palette(root / "SegmentationClass" / "a.png", masks(value)[1])
    annotations = read(root, None)["all"]
    assert kinds_of(annotations) == [kind, "assumed-class-names"]
    assert len(annotations.coco["annotations"]) == 1


def test_a_file_of_class_names_as_labelme_writes_it(tmp_path: Path):
    root = write_set(tmp_path, "a")
    write_palette(root / "SegmentationClass" / "a.png", masks(1, 2)[1])
    (root / "class_names.txt").write_text("_background_\nfig\ndate\n")
    annotations = read(root, None)["all"]
    assert [name for name, _ in masks_of(annotations, tmp_path)["a.jpg"]] == ["fig", "date"]
    assert [category["name"] for category in annotations.coco["categories"]] == ["fig", "date"]
    assert annotations.problems == ()


def test_colours_and_a_label_map_as_cvat_writes_them(tmp_path: Path):
    root = tmp_path / "set"
    write_picture(tmp_path / "pictures" / "a.png")
    objects, classes = masks(1, 2)
    objects = np.where(objects == 2, 700, objects)  # more objects than a palette has places
    write_colors(
        root / "SegmentationObject" / "a.png",
        objects,
        {place: color_of(place) for place in (1, 255)} | {700: color_of(700)},
    )
    write_colors(
        root / "SegmentationClass" / "a.png", classes, {1: (10, 128, 0), 2: (250, 50, 83), 255: (224, 224, 192)}
    )
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndate:250,50,83::\nfig:10,128,0::\n"
    )
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "default.txt").write_text("a\n")
    annotations = read(root, tmp_path / "pictures")["all"]
    (one, two) = masks_of(annotations, tmp_path)["a.png"]
    assert (one[0], two[0]) == ("fig", "date")
    assert np.array_equal(one[1], ONE)
    assert np.array_equal(two[1], TWO)
    assert [category["name"] for category in annotations.coco["categories"]] == ["date", "fig"]
    assert annotations.problems == ()


def test_a_label_map_without_colours_names_the_values(tmp_path: Path):
    root = write_set(tmp_path / "set", "a")
    (root / "labelmap.txt").write_text("background\n" + "".join(f"name {k}::\n" for k in range(1, 21)))
    (objects,) = masks_of(read(root, None)["all"], tmp_path).values()
    assert [name for name, _ in objects] == ["name 15", "name 12"]


def test_a_palette_counts_by_its_colours_where_a_file_says_them(tmp_path: Path):
    root = write_set(tmp_path / "set", "a")
    image = Image.open(root / "SegmentationClass" / "a.png")
    image.putpalette(
        [
            channel
            for place in range(256)
            for channel in ((9, 9, 9) if place == 15 else (0, 0, 0) if place == 0 else (200, 0, 0))
        ]
    )
    image.save(root / "SegmentationClass" / "a.png")
    (root / "labelmap.txt").write_text("background:0,0,0::\ndate:200,0,0::\nfig:9,9,9::\n")
    objects = masks_of(read(root, None)["all"], tmp_path)["a.jpg"]
    assert [name for name, _ in objects] == ["fig", "date"]


def test_a_colour_that_stands_for_nothing_is_named(tmp_path: Path):
    root = write_set(tmp_path, "a", "b")
    write_colors(root / "SegmentationClass" / "b.png", masks()[1], {15: (1, 2, 3), 12: (9, 9, 9)})
    (root / "labelmap.txt").write_text("background:0,0,0::\nfig:192,128,128::\ndog:64,0,128::\n")
    annotations = read(root, None)["all"]
    (problem,) = annotations.problems
    assert problem.kind == "unreadable-mask"
    assert "#010203" in problem.reason
    assert [record["file_name"] for record in annotations.coco["images"]] == ["a.jpg"]


def test_every_colour_of_the_palette_comes_back():
    places = np.arange(256)
    colors = np.array([color_of(place) for place in places.tolist()])
    assert np.array_equal(palette_places(colors[None])[0], places)
    assert color_of(255) == (224, 224, 192)
    assert color_of(15) == (192, 128, 128)


def test_masks_that_are_missing_or_of_another_size_are_named(tmp_path: Path):
    root = write_set(tmp_path, "a", "b", "c")
    (root / "SegmentationClass" / "b.png").unlink()
    write_palette(root / "SegmentationClass" / "c.png", np.zeros((HEIGHT, WIDTH - 1)))
    (root / "JPEGImages" / "a.jpg").unlink()
    write_picture(root / "JPEGImages" / "d.jpg")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(ValueError, match="no image can be used"):
        read(root, None)
    write_set(root, "e")
    (lists / "train.txt").write_text("a\nb\nc\nd\ne\n")
    annotations = read(root, None)["train"]
    found = {(problem.kind, Path(problem.file).name) for problem in annotations.problems}
    assert found == {
        ("missing-image", "a.jpg"),
        ("missing-mask", "b.jpg"),
        ("wrong-size", "c.jpg"),
        ("missing-mask", "d.jpg"),
        ("assumed-class-names", root.name),
    }


def test_classes_alone_do_not_tell_objects_apart(tmp_path: Path):
    (tmp_path / "SegmentationClass").mkdir()
    with pytest.raises(ValueError, match="no SegmentationObject; without it objects cannot be told apart"):
        read(tmp_path, None)
