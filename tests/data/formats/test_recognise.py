"""One scene in every format: each is recognised, and all say the same."""

import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.formats.recognise import FORMATS, read_dataset, recognise
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.dataset_check import check_dataset
from maskrcnn.evaluation.ground_truth import ground_truth
from maskrcnn.report.export.formats import write_formats
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.structures.rle import decode, encode
from tests.data.formats.small_sets import (
    HEIGHT,
    WIDTH,
    box_mask,
    iou,
    masks_of,
    shared,
    write_json,
    write_picture,
    write_values,
)

BOXES = [(5, 6, 25, 40), (30, 10, 50, 24), (60, 30, 76, 58)]
MASKS = [box_mask(*box) for box in BOXES]
OF_PIXELS = ("class-images", "voc-classes", "pets", "pets-binary")  # in test_class_images.py


def corners(x0: int, y0: int, x1: int, y1: int) -> list[list[int]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def numbered(*values: int) -> np.ndarray:
    return sum((value * mask for value, mask in zip(values, MASKS, strict=True)), np.zeros((HEIGHT, WIDTH))).astype(
        np.uint8
    )


def write_coco(root: Path) -> None:
    write_picture(root / "a.png")
    size = {"height": HEIGHT, "width": WIDTH}
    annotations = [
        {"id": k, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": encode(mask), "area": int(mask.sum())}
        | {"bbox": [x0, y0, x1 - x0, y1 - y0]}
        for k, (mask, (x0, y0, x1, y1)) in enumerate(zip(MASKS, BOXES, strict=True), start=1)
    ]
    images = [{"id": 1, "file_name": "a.png", **size}]
    categories = [{"id": 1, "name": "object"}]
    write_json(root / "x.json", {"images": images, "annotations": annotations, "categories": categories})


def write_via(root: Path) -> None:
    write_picture(root / "a.png")
    regions = [
        {"shape_attributes": {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}}
        for x0, y0, x1, y1 in BOXES
    ]
    write_json(root / "via.json", {"a.png1": {"filename": "a.png", "size": 1, "regions": regions}})


def write_labelme(root: Path) -> None:
    write_picture(root / "a.png")
    shapes = []
    for (x0, y0, x1, y1), mask in zip(BOXES, MASKS, strict=True):
        file = io.BytesIO()
        Image.fromarray(mask[y0:y1, x0:x1]).save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode()
        points = [[x0, y0], [x1 - 1, y1 - 1]]
        shapes.append({"label": "object", "shape_type": "mask", "points": points, "mask": data})
    write_json(root / "a.json", {"imagePath": "a.png", "shapes": shapes})


def write_yolo(root: Path) -> None:
    write_picture(root / "images" / "a.png")
    (root / "labels").mkdir()
    lines = ["0 " + " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in corners(*box)) for box in BOXES]
    (root / "labels" / "a.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("names: [object]\nval: images\n")


def write_voc(root: Path) -> None:
    write_picture(root / "JPEGImages" / "a.png")
    write_values(root / "SegmentationObject" / "a.png", numbered(1, 2, 3))
    write_values(root / "SegmentationClass" / "a.png", numbered(1, 1, 1))
    (root / "class_names.txt").write_text("_background_\nobject\n")


def write_label_images(root: Path) -> None:
    write_picture(root / "images" / "a.png")
    write_values(root / "masks" / "a.png", numbered(7, 30, 255))


def write_object_masks(root: Path) -> None:
    write_picture(root / "a" / "images" / "a.png")
    for number, mask in enumerate(MASKS):
        write_values(root / "a" / "masks" / f"{number}.png", (mask * 255).astype(np.uint8))


def write_coco_panoptic(root: Path) -> None:
    write_picture(root / "a.png")
    cv2.imwrite(
        str(root / "ids.png"), np.stack([np.zeros_like(numbered(0, 0, 0))] * 2 + [numbered(7, 30, 255)], axis=2)
    )
    segments = [{"id": number, "category_id": 1, "iscrowd": 0} for number in (7, 30, 255)]
    annotations = [{"image_id": 1, "file_name": "ids.png", "segments_info": segments}]
    images = [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
    categories = [{"id": 1, "name": "object", "isthing": 1}]
    write_json(root / "x.json", {"images": images, "annotations": annotations, "categories": categories})


def write_exported(name: str, root: Path) -> None:
    """By our own exporter, which `tests/report/export` compares with the tools."""
    write_picture(root / "a.png")
    found = [
        FoundObject("object", encode(mask), (float(box[0]), float(box[1]), float(box[2]), float(box[3])), 0.5)
        for mask, box in zip(MASKS, BOXES, strict=True)
    ]
    write_formats(root / "made", [name], [FoundPicture("a.png", "a", (HEIGHT, WIDTH), found)], ["object"])
    for path in (root / "made" / name).iterdir():
        path.rename(root / path.name)


WRITERS: dict[str, Callable[[Path], None]] = {
    "coco": write_coco,
    "via": write_via,
    "labelme": write_labelme,
    "yolo": write_yolo,
    "voc": write_voc,
    "label-images": write_label_images,
    "object-masks": write_object_masks,
    "coco-panoptic": write_coco_panoptic,
    **{name: partial(write_exported, name) for name in ("cvat", "label-studio", "geojson", "imagej")},
}


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in OF_PIXELS])
def test_every_format_is_recognised_and_gives_the_same_objects(tmp_path: Path, name: str):
    root = tmp_path / "set"
    root.mkdir()
    if name == "imagej":
        pytest.importorskip("roifile")
    WRITERS[name](root)
    assert recognise(root) == name
    (annotations,) = read_dataset(root).values()
    assert annotations.problems == ()
    (objects,) = masks_of(annotations, tmp_path).values()
    assert [class_name for class_name, _ in objects] == ["object"] * 3
    for (_, found), mask in zip(objects, MASKS, strict=True):
        if name in ("via", "yolo"):  # polygons are drawn by pycocotools' rule
            assert iou(found, mask) > 0.9
        else:
            assert np.array_equal(found, mask)
    loaded, whole = load_annotations(root), ground_truth(load_annotations(root), [1])  # as training and evaluation do
    assert len(loaded.targets(0)) == len(whole[0]) == 3
    assert [one.image_ids for one in check_dataset(root).splits.values()] == [(1,)]
    again, once_more = (next(iter(read_dataset(root).values())) for _ in range(2))
    assert (again.coco, again.problems) == (once_more.coco, once_more.problems)


def test_nothing_known_says_what_was_looked_for(tmp_path: Path):
    write_picture(tmp_path / "photos" / "a.png")
    write_json(tmp_path / "photos" / "settings.json", {"a": 1})
    (tmp_path / "photos" / "broken.json").write_text("{")
    (tmp_path / "photos" / "conf.yaml").write_text("names: x\n")
    with pytest.raises(ValueError, match="looked for") as raised:
        recognise(tmp_path / "photos")
    assert all(f"{name}: {module.LOOKED_FOR}" in str(raised.value) for name, module in FORMATS.items())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", "{", "here, since it is not JSON: Expecting property name"),
        ("a.json", "{}", "here, but an empty {}; looked for coco, via"),
        ("a.json", '{"images": [], "x": 1}', "here, but JSON with 'images', 'x'; looked for"),
        ("a.json", "[1, 2]", r"here, but JSON of \[1, 2\]; looked for"),
        ("a.json", '[{"image_id": 1, "category_id": 1, "score": 1}]', "but a list of detections"),
        ("a.png", "x", "here, but an image; looked for"),
        ("a.csv", "x", "known here; looked for"),
    ],
)
def test_a_file_of_no_format_is_called_what_it_is(tmp_path: Path, name: str, content: str, sentence: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=sentence) as raised:
        recognise(tmp_path / name)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_several_formats_are_a_question_that_can_be_answered(tmp_path: Path):
    write_via(tmp_path)
    write_coco(tmp_path)
    with pytest.raises(ValueError, match=r"several formats \(coco, via\)"):
        recognise(tmp_path)
    assert recognise(tmp_path / "via.json") == "via"
    assert list(read_dataset(tmp_path, format_name="via")) == ["all"]
    with pytest.raises(ValueError, match=r"expected a data.yaml of YOLO"):
        read_dataset(tmp_path, format_name="yolo")
    with pytest.raises(ValueError, match="expected a format, one of coco, via"):
        read_dataset(tmp_path, format_name="xml")


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="gone: there is no such file or folder"):
        read_dataset(tmp_path / "gone")
    write_via(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone: there is no such folder of images"):
        read_dataset(tmp_path, tmp_path / "gone")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("balloon/train", "via"),
        ("balloon/instances_val.json", "coco"),
        ("labelme", "labelme"),
        ("pennfudan", "label-images"),
        ("nuclei", "coco"),
        ("nuts", "coco"),
        ("coco-sample", "coco"),
    ],
)
def test_real_sets(name: str, expected: str):
    assert recognise(shared(name.split("/")[0]).parent / name) == expected


def test_real_nuclei_are_the_same_as_label_images_and_as_mask_files(tmp_path: Path):
    # Overlaps would be lost in label images; this set has none in what is taken here.
    root = shared("nuclei")
    coco = read_dataset(root)["val"]
    names = [record["file_name"] for record in coco.coco["images"] if max(record["height"], record["width"]) <= 360][:4]
    expected: dict[str, list[np.ndarray]] = {name: [] for name in names}
    name_of = {record["id"]: record["file_name"] for record in coco.coco["images"]}
    for one in coco.coco["annotations"]:
        if name_of[one["image_id"]] in expected:
            expected[name_of[one["image_id"]]].append(decode(one["segmentation"]))
    for name, masks in expected.items():
        stem = Path(name).stem
        picture = Image.open(coco.image_folder / name)
        label_image = np.zeros(picture.size[::-1], np.uint16)
        for number, mask in enumerate(masks, start=1):
            assert not (label_image[mask]).any()
            label_image[mask] = number
            write_values(tmp_path / "files" / stem / "masks" / f"{number:04}.png", (mask * 255).astype(np.uint8))
        write_values(tmp_path / "labels" / "masks" / f"{stem}.tif", label_image)
        for folder in (tmp_path / "labels" / "images", tmp_path / "files" / stem / "images"):
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / name)
    for folder in ("labels", "files"):
        (annotations,) = read_dataset(tmp_path / folder).values()
        found = masks_of(annotations, tmp_path)
        assert len(found) == len(expected)
        for file_name, objects in found.items():
            masks = expected[Path(file_name).name]
            assert len(objects) == len(masks)
            assert all(np.array_equal(one, mask) for (_, one), mask in zip(objects, masks, strict=True))
