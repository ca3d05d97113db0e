"""A class for every pixel, from images beside pictures: numbers, colours, lists of classes, and what is wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.class_list import read_class_list
from maskrcnn.data.formats.recognise import read_dataset, recognise
from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.evaluation.dataset_check import check_dataset
from tests.class_sets import NAMES, VOID, make_scene, write_class_set
from tests.data.formats.small_sets import HEIGHT, WIDTH, kinds_of, shared, write_picture, write_values

LABELS = np.zeros((HEIGHT, WIDTH), np.uint8)
LABELS[10:30], LABELS[30:, 40:], LABELS[:5, :5] = 1, 2, 3


def class_list(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def maps_of(table: Annotations) -> dict[str, np.ndarray]:
    data = PixelClasses(table)
    return {Path(name).stem: data.class_map(index) for index, name in enumerate(data.file_names)}


def test_splits_numbers_and_void(tmp_path: Path):
    root = write_class_set(tmp_path / "set", {"train": range(2), "val": range(2, 3)})
    assert recognise(root) == "class-images"
    splits = read_dataset(root)
    assert {split: len(one) for split, one in splits.items()} == {"train": 2, "val": 1}
    for split, one in splits.items():
        assert one.problems == ()
        assert PixelClasses(one).class_names == NAMES
        for stem, found in maps_of(one).items():
            assert np.array_equal(found, make_scene(int(stem))[1]), split
    sample = PixelClasses(splits["val"]).load(0)
    assert len(sample.targets) == 0
    assert sample.targets.label_map is not None
    assert np.array_equal(sample.targets.label_map.pixels.numpy(), make_scene(2)[1])
    # A split's folder alone finds the list in the folder above.
    assert np.array_equal(maps_of(read_dataset(root / "val")["all"])["2"], make_scene(2)[1])


@pytest.mark.parametrize(
    "lines",
    [
        ("one", "two", "three"),
        ("# a comment", "", "1 two", "0 one", "2 three"),
        ("number,name", "0,one", "1,two", "2,three", "3,void"),
    ],
)
def test_numbers_in_every_form_of_a_list(tmp_path: Path, lines: tuple[str, ...]):
    write_picture(tmp_path / "set/images/a.jpg")
    write_values(tmp_path / "set/masks/a_mask.png", LABELS)
    class_list(tmp_path / "set/classes.csv", *lines)
    table = read_dataset(tmp_path / "set")["all"]
    assert table.stuff is not None
    name_of = np.array([*table.stuff.names, *[""] * 252, "void"])
    expected = np.array(["one", "two", "three", "void"])[LABELS]
    assert np.array_equal(name_of[maps_of(table)["a"]], expected)


@pytest.mark.parametrize(
    ("lines", "folder"),
    [
        (("10 20 30\tone", "0 0 200\ttwo", "1 1 1 three", "9 9 9 Void"), "train_labels"),
        (("name,r,g,b", "one,10,20,30", "two,0,0,200", "three,1,1,1", "unlabelled,9,9,9"), "trainannot"),
    ],
)
def test_colours_in_the_layouts_of_camvid(tmp_path: Path, lines: tuple[str, ...], folder: str):
    colors = np.array([[10, 20, 30], [0, 0, 200], [1, 1, 1], [9, 9, 9]], np.uint8)
    write_picture(tmp_path / "set/train/a.png")
    write_values(tmp_path / "set" / folder / "a_L.png", colors[LABELS])
    class_list(tmp_path / "set/class_dict.csv", *lines)
    assert recognise(tmp_path / "set") == "class-images"
    table = read_dataset(tmp_path / "set")["train"]
    assert table.stuff is not None
    assert table.stuff.names == ("one", "two", "three")
    assert np.array_equal(maps_of(table)["a"], np.where(LABELS == 3, VOID, LABELS))


def test_every_bad_file_is_named_with_the_reason(tmp_path: Path):
    root = tmp_path / "set"
    for stem in ("good", "strange", "small", "lossy", "colour", "twice", "alone"):
        write_picture(root / "images" / f"{stem}.png")
    write_values(root / "labels/good.png", LABELS)
    write_values(root / "labels/strange.png", LABELS + 5)
    write_values(root / "labels/small.png", LABELS[:30])
    Image.fromarray(LABELS).save(root / "labels/lossy.jpg")
    write_values(root / "labels/colour.png", np.stack([LABELS, LABELS * 2, LABELS], axis=2))
    for name in ("twice", "twice_mask"):
        write_values(root / "labels" / f"{name}.png", LABELS)
    write_values(root / "labels/stray.png", LABELS)
    (root / "images/broken.png").write_bytes(b"no picture")
    write_values(root / "labels/broken.png", LABELS)
    class_list(root / "classes.txt", "one", "two", "three")
    table = read_dataset(root)["all"]
    assert [Path(name).stem for name in table.file_names] == ["good"]
    told = {(Path(problem.file).name, problem.kind): problem.reason for problem in table.problems}
    assert told.keys() == {
        ("images", "unannotated-images"),
        ("stray.png", "missing-image"),
        ("twice.png", "ambiguous-mask"),
        ("broken.png", "unreadable-image"),
        ("strange.png", "unknown-class-value"),
        ("small.png", "wrong-size"),
        ("lossy.jpg", "unreadable-mask"),
        ("colour.png", "unreadable-mask"),
    }
    reason = told["strange.png", "unknown-class-value"]
    values = ", ".join(f"the value {5 + k} ({np.count_nonzero(k == LABELS)} px)" for k in range(3))
    assert reason.endswith(f"has no class for {values} and 1 more")
    check = check_dataset(root)
    assert not check.is_usable
    facts = [line.split() for line in check.text().splitlines()]
    pixels = [int((k == LABELS).sum()) for k in range(3)]
    for name, number in zip(("one", "two", "three"), pixels, strict=True):
        assert ["pixels", "of", name, f"{number / sum(pixels):.1%}"] in facts
    assert "objects" not in check.text().split("error")[0]
    assert check.write(tmp_path / "check").is_file()
    assert "unknown-class-value (1): a number or colour" in check.text()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "expected a line for each class, got none"),
        (("0 0 0 one", "two"), "line 2: expected R G B NAME as in the lines before, got 'two'"),
        (("0 one", "0 two"), "line 2: 0 is 'one' already"),
        (("0 0 300 one",), "line 1: expected a colour of numbers up to 255"),
        (("void",), "expected 1 to 254 classes, got 0"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, lines: tuple[str, ...], message: str):
    with pytest.raises(ValueError, match=rf"classes\.txt: {message}"):
        read_class_list(class_list(tmp_path / "classes.txt", *lines))


def test_without_a_list_label_images_are_objects_and_the_other_reading_can_be_named(tmp_path: Path):
    write_picture(tmp_path / "images/a.png")
    write_values(tmp_path / "masks/a.png", LABELS)
    assert recognise(tmp_path) == "label-images"
    class_list(tmp_path / "classes.txt", "one", "two", "three")
    assert recognise(tmp_path) == "class-images"
    assert read_dataset(tmp_path, format_name="label-images")["all"].class_names == ("object",)


def test_voc_keeps_its_void_borders(tmp_path: Path):
    write_picture(tmp_path / "JPEGImages/a.jpg")
    write_values(tmp_path / "SegmentationClass/a.png", np.where(LABELS == 3, 255, LABELS * 10).astype(np.uint8))
    class_list(tmp_path / "ImageSets/Segmentation/train.txt", "a", "b")
    assert recognise(tmp_path) == "voc"
    with pytest.raises(ValueError, match="the format voc-classes takes a class for every pixel"):
        read_dataset(tmp_path)
    table = read_dataset(tmp_path, format_name="voc-classes")["train"]
    data = PixelClasses(table)
    assert (data.class_names[20], data.background, len(data.class_names)) == ("tvmonitor", "background", 21)
    assert np.array_equal(maps_of(table)["a"], np.where(LABELS == 3, VOID, LABELS * 10))
    assert kinds_of(table) == ["assumed-class-names", "missing-mask"]
    class_list(tmp_path / "labelmap.txt", "background:0,0,0::", "cat:64,0,0::", "dog:0,1,2::")
    colors = np.array([[0, 0, 0], [64, 0, 0], [0, 1, 2], [224, 224, 192]], np.uint8)
    write_values(tmp_path / "SegmentationClass/a.png", colors[LABELS])
    table = read_dataset(tmp_path, format_name="voc-classes")["train"]
    assert PixelClasses(table).class_names == ("background", "cat", "dog")
    assert np.array_equal(maps_of(table)["a"], np.where(LABELS == 3, VOID, LABELS))


def test_pets_as_they_unpack(tmp_path: Path):
    trimap = np.full((HEIGHT, WIDTH), 2, np.uint8)
    trimap[10:40, 10:40], trimap[15:35, 15:35] = 3, 1
    for stem in ("Abyssinian_1", "beagle_2"):
        write_picture(tmp_path / "images" / f"{stem}.jpg")
        write_values(tmp_path / "annotations/trimaps" / f"{stem}.png", trimap)
    (tmp_path / "annotations/trimaps/._beagle_2.png").write_bytes(b"of a Mac")
    class_list(
        tmp_path / "annotations/trainval.txt", "#Image CLASS-ID SPECIES BREED ID", "Abyssinian_1 1 1 1", "gone 1 1 1"
    )
    class_list(tmp_path / "annotations/test.txt", "beagle_2 5 2 4")
    assert recognise(tmp_path) == "pets"
    splits = read_dataset(tmp_path)
    assert splits.keys() == {"train", "test"}
    assert PixelClasses(splits["test"]).class_names == ("background", "pet", "border")
    assert np.array_equal(maps_of(splits["test"])["beagle_2"], np.array([9, 1, 0, 2], np.uint8)[trimap])
    assert kinds_of(splits["train"]) == ["missing-mask"]
    binary = read_dataset(tmp_path, format_name="pets-binary")["test"]
    assert PixelClasses(binary).class_names == ("background", "pet")
    assert np.array_equal(maps_of(binary)["beagle_2"], trimap != 2)


def test_camvid_is_read_as_it_is():
    splits = read_dataset(shared("camvid") / "val")
    table = splits["all"]
    assert (len(table), table.problems) == (101, ())
    assert PixelClasses(table).class_names[:3] == ("sky", "building", "pole")
