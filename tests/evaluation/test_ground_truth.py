"""Annotation files in the forms that exporters write."""

import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_mask

from maskrcnn.evaluation.ground_truth import ground_truth, read_annotations

# One object, 3 wide and 2 high at (1, 1) in an image 4 high and 6 wide, in every form; COCO counts down the columns.
POLYGON = [1, 1, 4, 1, 4, 3, 1, 3]
COUNTS = [5, 2, 2, 2, 2, 2, 9]
FORMS: dict[str, Any] = {
    "polygons": [POLYGON],
    "a flat polygon": POLYGON,
    "polygons with an edge": [[1, 1, 4, 3], POLYGON],
    "uncompressed": {"size": [4, 6], "counts": COUNTS},
    "compressed": coco_mask.frPyObjects({"size": [4, 6], "counts": COUNTS}, 4, 6),  # pyright: ignore
}


def dataset_of(segmentation: Any, **rest: Any) -> dict:
    return {
        "images": [{"id": 8, "height": 4, "width": 6, "file_name": "a.png"}, {"id": 2, "height": 4, "width": 6}],
        "annotations": [{"id": 5, "image_id": 8, "category_id": 3, "segmentation": segmentation, **rest}],
        "categories": [{"id": 3, "name": "date"}],
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_mask(form: str) -> None:
    empty, truth = ground_truth(read_annotations(dataset_of(FORMS[form])), [7, 3])
    assert (empty.image_id, empty.file_name, len(empty)) == (2, "2", 0)
    assert (truth.image_id, truth.file_name, truth.image_size, truth.labels.tolist()) == (8, "a.png", (4, 6), [1])
    rle: Any = truth.rles[0]
    assert coco_mask.area(rle) == truth.areas[0] == 6
    assert coco_mask.toBbox(rle).tolist() == truth.boxes_xywh[0].tolist() == [1, 1, 3, 2]
    assert not truth.is_crowd[0]


def test_what_the_file_says_goes_before_what_the_mask_says() -> None:
    dataset = dataset_of([POLYGON], bbox=[1, 1, 2.5, 2], area=5.5, iscrowd=1)
    (truth,) = ground_truth(read_annotations(dataset), [3], image_ids=[8])
    assert (truth.boxes_xywh[0].tolist(), truth.areas[0], truth.is_crowd[0]) == ([1, 1, 2.5, 2], 5.5, True)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [6, 4], "counts": COUNTS}, "annotation 5 in the annotations: the RLE has size .6, 4."),
        ([[1, 1, 4, 3]], "annotation 5 in the annotations: no polygon has three points"),
        (None, "annotation 5 in the annotations: there is no segmentation"),
    ],
)
def test_unusable_mask_is_an_error(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_annotations(dataset_of(segmentation))


def test_image_without_a_size_is_an_error() -> None:
    dataset = dataset_of([POLYGON])
    dataset["images"][0]["height"] = -1
    with pytest.raises(ValueError, match=r"a.png: expected height and width in pixels, got -1 and 6"):
        read_annotations(dataset)


def test_other_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"annotations.json is not JSON"):
        read_annotations(path)
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(ValueError, match="expected a list 'annotations', got None"):
        read_annotations(path)


@pytest.mark.parametrize("category_ids", [[7], [], [3, 3], [7, 7, 3]])
def test_categories_of_other_annotations_are_an_error(category_ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected one distinct category id .*, \[3\], got"):
        ground_truth(read_annotations(dataset_of([POLYGON])), category_ids)
