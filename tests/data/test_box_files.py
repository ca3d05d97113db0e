"""Files of boxes: both forms, which image they are of, and what is wrong with which row."""

import json
from pathlib import Path
from typing import Any

import pytest

from maskrcnn.data.box_files import BoxFile, GivenBox, read_boxes

IMAGES = [Path("plates/one/a.png"), Path("plates/two/a.png"), Path("plates/b.png")]


def boxes(tmp_path: Path, content: str | dict[str, Any], name: str = "boxes") -> BoxFile:
    path = tmp_path / (f"{name}.csv" if isinstance(content, str) else f"{name}.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_boxes(path)


COCO = {
    "images": [{"id": 1, "file_name": "one/a.png"}, {"id": 2, "file_name": "b.png"}],
    "annotations": [
        {"id": 5, "image_id": 1, "category_id": 3, "bbox": [10, 20, 5, 6.5]},
        {"id": 6, "image_id": 2, "bbox": [0, 0, 1, 1]},
    ],
    "categories": [{"id": 3, "name": "cell"}],
}


@pytest.mark.parametrize(
    "content",
    [
        "one/a.png,10,20,15,26.5,cell\n\nb.png,0,0,1,1\n",
        "file,class,y0,x0,y1,x1\none/a.png,cell,20,10,26.5,15\nb.png,,0,0,1,1\n",
        COCO,
    ],
)
def test_boxes_of_each_image(tmp_path: Path, content: Any):
    found = boxes(tmp_path, content)
    (cell,), (other,) = found.of(IMAGES[0]), found.of(IMAGES[2])
    assert (cell.corners, cell.class_name) == ((10, 20, 15, 26.5), "cell")
    assert (other.corners, other.class_name) == ((0, 0, 1, 1), None)
    assert found.of(IMAGES[1]) == ()
    assert found.check_images(IMAGES) is None


def test_a_name_means_one_image(tmp_path: Path):
    found = boxes(tmp_path, "a.png,0,0,1,1\none/a.png,5,5,6,6\n")
    assert found.of(IMAGES[0]) == (GivenBox("line 2", (5, 5, 6, 6)),)
    with pytest.raises(ValueError, match=r"boxes\.csv: a\.png is plates.one.a\.png and plates.two.a\.png"):
        found.check_images(IMAGES)
    assert boxes(tmp_path, "x.png,0,0,1,1\nb.png,0,0,1,1").check_images(IMAGES) == (
        f"{tmp_path / 'boxes.csv'}: 1 image (x.png) of those that it names not given"
    )
    with pytest.raises(ValueError, match=r"none of the images that it names is given, such as x\.png"):
        boxes(tmp_path, "x.png,0,0,1,1").check_images(IMAGES)
    assert boxes(tmp_path, "xb.png,0,0,1,1\n").of(IMAGES[2]) == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.png,1,2,3\n", "line 1: expected file, x0, y0, x1, y1 and perhaps a class, got 4 values"),
        ("a.png,1,2,3,4\na.png,1,2,x,4\n", "line 2: expected four numbers, got 'a.png,1,2,x,4'"),
        ("a.png,1,2,nan,4\n", "line 1: expected four numbers"),
        ("file,x0,y0,x1\n", "expected the columns file, x0, y0, x1, y1, got none called y1"),
        ("", "expected boxes, got none"),
        ({"images": []}, "expected COCO JSON with lists of images and annotations"),
        (
            COCO | {"annotations": [{"id": 7, "image_id": 9, "bbox": [0] * 4}]},
            "annotation 7: expected the image_id",
        ),
        (COCO | {"annotations": [{"image_id": 1, "bbox": [0, 0, 1]}]}, r"number 1'?: expected a bbox of four numbers"),
    ],
)
def test_the_row_that_cannot_be_read_is_named(tmp_path: Path, content: Any, message: str):
    with pytest.raises(ValueError, match=rf"boxes\.(csv|json).*{message}"):
        boxes(tmp_path, content)


def test_there_is_no_such_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no such file of boxes"):
        read_boxes(tmp_path / "no.csv")
