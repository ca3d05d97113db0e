"""LabelMe's files, one for each picture."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.labelme import is_format, read
from tests.data.formats.small_sets import (
    HEIGHT,
    WIDTH,
    box_mask,
    iou,
    kinds_of,
    masks_of,
    shared,
    write_json,
    write_picture,
)

SQUARE = [[10, 20], [30, 20], [30, 40], [10, 40]]


def shape(points: Any = SQUARE, label: Any = "fig", kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def png(bitmap: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(bitmap).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def content(*shapes: Any, name: str = "a.png", **more: Any) -> dict[str, Any]:
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None, **size, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_picture(tmp_path / "set" / "a.png")
    return tmp_path / "set"


def read_shapes(folder: Path, *shapes: Any) -> Annotations:
    return read(write_json(folder / "a.json", content(*shapes)).parent, None)["all"]


def test_polygons_rectangles_and_circles(folder: Path, tmp_path: Path):
    annotations = read_shapes(
        folder,
        shape(),
        shape(kind=None),  # before LabelMe 3.17
        shape([[30, 40], [10, 20]], kind="rectangle"),
        shape([[40, 30], [40, 42.5]], kind="circle", label="date"),
    )
    assert is_format(folder)
    assert [category["name"] for category in annotations.coco["categories"]] == ["date", "fig"]
    *squares, (name, circle) = masks_of(annotations, tmp_path)["a.png"]
    assert all(iou(mask, box_mask(10, 20, 30, 40)) > 0.9 for _, mask in squares)
    assert name == "date"
    assert circle.sum() == pytest.approx(math.pi * 12.5**2, rel=0.03)


@pytest.mark.parametrize("values", [bool, np.uint8])
def test_a_mask_shape_comes_back_exactly(folder: Path, tmp_path: Path, values: Any):
    bitmap = np.random.default_rng(0).random((7, 11)) < 0.5
    mask = shape([[20, 30], [30, 36]], kind="mask", mask=png(bitmap.astype(values)))
    (_, found) = masks_of(read_shapes(folder, mask), tmp_path)["a.png"][0]
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[30:37, 20:31] = bitmap
    assert np.array_equal(found, expected)


def test_a_mask_shape_over_the_edge_is_clipped(folder: Path, tmp_path: Path):
    mask = shape([[-4, 50], [15, 69]], kind="mask", mask=png(np.ones((20, 20), bool)))
    (_, found) = masks_of(read_shapes(folder, mask), tmp_path)["a.png"][0]
    assert np.array_equal(found, box_mask(0, 50, 16, 60))


def test_one_group_is_one_object_with_several_parts(folder: Path, tmp_path: Path):
    other = [[50, 20], [60, 20], [60, 40], [50, 40]]
    annotations = read_shapes(
        folder,
        shape(group_id=0),
        shape(label="date", group_id=0),  # another label is another object
        shape(other, group_id=0),
        shape(),
    )
    objects = masks_of(annotations, tmp_path)["a.png"]
    assert [name for name, _ in objects] == ["fig", "date", "fig"]
    assert iou(objects[0][1], box_mask(10, 20, 30, 40) | box_mask(50, 20, 60, 40)) > 0.9
    assert len(annotations.coco["annotations"][0]["segmentation"]) == 2


def test_a_mask_and_a_polygon_can_be_one_object(folder: Path, tmp_path: Path):
    mask = shape([[50, 20], [59, 39]], kind="mask", mask=png(np.ones((20, 10), bool)), group_id=3)
    ((_, found),) = masks_of(read_shapes(folder, shape(group_id=3), mask), tmp_path)["a.png"]
    assert iou(found, box_mask(10, 20, 30, 40) | box_mask(50, 20, 60, 40)) > 0.95


@pytest.mark.parametrize(
    ("bad", "kind", "severity"),
    [
        (shape([[1, 2]], kind="point"), "open-shape", "error"),
        (shape(kind="linestrip"), "open-shape", "error"),
        (shape(kind="line"), "open-shape", "error"),
        (shape([[1, 2], [30, 40]]), "two-point-polygon", "error"),
        (shape([[1, 2], [30]]), "malformed-shape", "error"),
        (shape([[1, 2], [30, 40], [5, 6]], kind="rectangle"), "malformed-shape", "error"),
        (shape([[1, 2], [1, 2]], kind="circle"), "malformed-shape", "error"),
        (shape(kind="cuboid"), "unknown-shape", "error"),
        (shape([[1, 2], [5, 6]], kind="mask", mask="no base64!"), "malformed-shape", "error"),
        (shape([[1, 2], [5, 6]], kind="mask", mask=png(np.ones((50, 5), bool))), "malformed-shape", "error"),
        (shape([[1, 2], [5, 6]], kind="mask", mask=png(np.ones((5, 50), bool))), "malformed-shape", "error"),
        (shape([[90, 2], [94, 6]], kind="mask", mask=png(np.ones((5, 5), bool))), "mask-outside-image", "error"),
        (shape([[1, 2], [5, 6]], kind="mask", mask=png(np.zeros((5, 5), bool))), "empty-mask", "error"),
        (shape(label=""), "no-class", "error"),
        (shape(label=None), "no-class", "error"),
        (shape(label="__ignore__"), "ignored-region", "warning"),
        ("no shape", "no-class", "error"),
    ],
)
def test_a_shape_that_is_no_object_is_named_and_the_others_stay(
    folder: Path, tmp_path: Path, bad: Any, kind: str, severity: str
):
    annotations = read_shapes(folder, shape(), bad, shape())
    (problem,) = annotations.problems
    assert (problem.kind, problem.severity, problem.annotation_id) == (kind, severity, "shape 1")
    assert problem.file == str(folder / "a.json")
    assert len(masks_of(annotations, tmp_path)["a.png"]) == 2


@pytest.mark.parametrize("path", ["..\\images\\b.png", "../images/b.png", "D:\\work\\b.png", "b.png"])
def test_pictures_are_found_under_the_paths_of_other_machines(tmp_path: Path, path: str):
    beside = path.startswith(("D:", "b"))
    picture = write_picture(tmp_path / ("json" if beside else "images") / "b.png")
    annotations = read(write_json(tmp_path / "json" / "b.json", content(shape(), name=path)).parent, None)["all"]
    assert annotations.image_folder / annotations.coco["images"][0]["file_name"] == picture
    assert annotations.problems == ()


def test_pictures_in_a_folder_that_is_given(tmp_path: Path):
    write_picture(tmp_path / "pictures" / "b.png")
    file = write_json(tmp_path / "json" / "b.json", content(shape(), name="..\\gone\\b.png"))
    annotations = read(file, tmp_path / "pictures")["all"]
    assert annotations.image_folder == tmp_path / "pictures"


def test_a_missing_picture_is_named_and_whether_the_json_has_a_copy(folder: Path):
    write_json(folder / "a.json", content(shape()))
    write_json(folder / "b.json", content(shape(), name="b.png", imageData="iVBORw0KGgo="))
    write_json(folder / "c.json", content(shape(), name="c.png"))
    annotations = read(folder, None)["all"]
    assert kinds_of(annotations) == ["missing-image"] * 2
    assert [Path(problem.file).name for problem in annotations.problems] == ["b.png", "c.png"]
    assert ["imageData" in problem.reason for problem in annotations.problems] == [True, False]


def test_a_picture_of_another_size_is_left_out(folder: Path):
    write_picture(folder / "b.png", (WIDTH, HEIGHT))
    write_picture(folder / "c.png", (10, 10))
    for name in "abc":
        write_json(folder / f"{name}.json", content(shape(), name=f"{name}.png"))
    annotations = read(folder, None)["all"]
    assert kinds_of(annotations) == ["swapped-size", "wrong-size"]
    assert len(annotations.coco["images"]) == 1


def test_damaged_files_and_pictures_without_file_are_named(folder: Path):
    (folder / "broken.json").write_text('{"shapes": [')
    write_json(folder / "nameless.json", content(shape()) | {"imagePath": None})
    write_picture(folder / "new.png")
    annotations = read_shapes(folder, shape())
    assert kinds_of(annotations) == ["unreadable-annotations"] * 2 + ["unannotated-images"]
    assert len(annotations.coco["annotations"]) == 1


def test_a_picture_without_shapes_stays(folder: Path):
    annotations = read_shapes(folder)
    assert len(annotations.coco["images"]) == 1
    assert annotations.coco["annotations"] == []


def test_the_three_photographs(tmp_path: Path):
    annotations = read(shared("labelme"), None)["all"]
    counts = {name: len(objects) for name, objects in masks_of(annotations, tmp_path).items()}
    # 5, 10 and 3 shapes: one is to be ignored in each of the first two, and groups of 2 and 4 are an object each.
    assert counts == {"2011_000003.jpg": 3, "2011_000006.jpg": 6, "2011_000025.jpg": 3}
    assert kinds_of(annotations) == ["ignored-region"] * 2
