import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.problems import DataError
from maskrcnn.data.reading import load_annotations

HEIGHT, WIDTH = 30, 40


def square(x0: float, y0: float, side: float) -> list[float]:
    return [x0, y0, x0 + side, y0, x0 + side, y0 + side, x0, y0 + side]


def compressed(bitmap: np.ndarray) -> dict[str, Any]:
    rle: Any = pycocotools.mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def uncompressed(bitmap: np.ndarray) -> dict[str, Any]:
    flat = np.concatenate([[0], bitmap.T.ravel().astype(int), [2]])
    edges = np.flatnonzero(np.diff(flat))
    return {"size": list(bitmap.shape), "counts": np.diff(edges, prepend=0).tolist()}


def annotation(annotation_id: int, segmentation: Any, **changes: Any) -> dict[str, Any]:
    return {"id": annotation_id, "image_id": 1, "category_id": 7, "segmentation": segmentation, **changes}


def write(folder: Path, annotations: list[dict], **changes: Any) -> tuple[Path, Path]:
    """A file of two images, ids 1 and 5, and categories 3 and 7, in descending order."""
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 5)],
        "categories": [{"id": 7, "name": "fig"}, {"id": 3, "name": "nut"}],
        "annotations": annotations,
    }
    for image in (1, 5):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), image, np.uint8)).save(folder / f"{image}.png")
    path = folder / "instances.json"
    path.write_text(json.dumps({**content, **changes}))
    return path, folder


def load(folder: Path, annotations: list[dict], **changes: Any) -> Annotations:
    return load_annotations(*write(folder, annotations, **changes))


def full_masks(dataset: Annotations, index: int) -> np.ndarray:
    masks = dataset.targets(index).masks
    full = np.zeros((len(masks), *dataset.size(index)), np.uint8)
    for g, (x0, y0, x1, y1) in enumerate(masks.windows.tolist()):
        pixels = masks.pixels[masks.offsets[g] : masks.offsets[g + 1]].numpy()
        full[g, y0:y1, x0:x1] = pixels.reshape(y1 - y0, x1 - x0)
    return full


def test_labels_follow_category_ids_and_empty_images_stay(tmp_path: Path):
    dataset = load(tmp_path, [annotation(1, [square(2, 3, 5)]), annotation(2, [square(20, 3, 5)], category_id=3)])
    assert dataset.class_names == ("nut", "fig")
    assert dataset.category_ids == (3, 7)
    assert len(dataset) == 2
    assert dataset.file_names == ("1.png", "5.png")
    assert dataset.image_ids == (1, 5)
    sample = dataset.load(0)
    assert sample.targets.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(sample.image, np.ones((HEIGHT, WIDTH, 3)))
    # Square 2..7 x 3..8 covers pixels 2..6 x 3..7, whose continuous edges are the square's own.
    assert sample.targets.boxes.tolist() == [[2, 3, 7, 8], [20, 3, 25, 8]]
    empty = dataset.load(1)
    assert len(empty.targets) == 0
    assert empty.image_id == 5


def test_every_form_of_mask_equals_pycocotools(tmp_path: Path):
    rng = np.random.default_rng(0)
    bitmap = np.zeros((HEIGHT, WIDTH), bool)
    bitmap[4:20, 10:31] = rng.random((16, 21)) < 0.5
    whole = np.ones((HEIGHT, WIDTH), bool)
    polygons = [rng.uniform(-5, 40, 12).round(2).tolist() for _ in range(20)]
    dataset = load(
        tmp_path,
        [
            *(annotation(i, [polygon]) for i, polygon in enumerate(polygons)),
            annotation(100, polygons[:3]),
            annotation(101, [[5.5, 5.5, 7, 7], polygons[0]]),  # two points enclose nothing
            annotation(102, compressed(bitmap)),
            annotation(103, uncompressed(bitmap)),
            annotation(104, uncompressed(whole)),
        ],
    )
    pieces = [[polygon] for polygon in polygons] + [polygons[:3], polygons[:1]]
    expected = []
    for parts in pieces:
        merged: Any = pycocotools.mask.merge(pycocotools.mask.frPyObjects(parts, HEIGHT, WIDTH))
        expected.append(pycocotools.mask.decode(merged))
    masks = full_masks(dataset, 0)
    np.testing.assert_array_equal(masks, np.stack([*expected, bitmap, bitmap, whole]))
    for mask, (x0, y0, x1, y1) in zip(masks, dataset.targets(0).boxes.tolist(), strict=True):
        ys, xs = mask.nonzero()
        assert (x0, y0, x1, y1) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_crowd_becomes_ignore_boxes(tmp_path: Path):
    bitmap = np.zeros((HEIGHT, WIDTH), bool)
    bitmap[2:9, 4:6] = True
    annotations = [
        annotation(1, uncompressed(bitmap), iscrowd=1),
        annotation(2, [square(20, 3, 5)]),
        annotation(3, [square(20, 13, 5)], iscrowd=0),
    ]
    dataset = load(tmp_path, annotations)
    targets = dataset.targets(0)
    assert len(targets) == 2
    assert targets.ignore_boxes.tolist() == [[4, 2, 6, 9]]
    assert dataset.annotation_ids[dataset.rows(0)].tolist() == [1, 2, 3]


def test_exporter_that_marks_everything_as_crowd(tmp_path: Path):
    files = write(tmp_path, [annotation(i, [square(2, 3, 5)], iscrowd=1) for i in range(3)])
    assert len(load_annotations(*files).targets(0)) == 0
    assert len(load_annotations(*files, crowd_as_objects=True).targets(0)) == 3


def test_annotations_are_sorted_by_image_in_the_order_of_the_file(tmp_path: Path):
    images = [5, 1, 5, 1, 5]
    dataset = load(tmp_path, [annotation(i, [square(2 + i, 3, 5)], image_id=image) for i, image in enumerate(images)])
    assert [dataset.annotation_ids[dataset.rows(i)].tolist() for i in (0, 1)] == [[1, 3], [0, 2, 4]]
    assert dataset.targets(1).boxes[:, 0].tolist() == [2, 4, 6]


def bad_rle(size: list[int], counts: Any) -> dict[str, Any]:
    return {"size": size, "counts": counts}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (annotation(9, [square(100, 100, 5)]), "lies outside the image"),
        (annotation(9, [square(2, 3, 5)], category_id=4), "unknown category id 4"),
        (annotation(9, [square(2, 3, 5)], image_id=2), "unknown image id 2"),
        (annotation(9, []), "no segmentation"),
        (annotation(9, [[1, 2, 3, 4]]), "no polygon has three points"),
        (annotation(9, [[1, 2, 3, 4, 5, float("nan")]]), "finite"),
        (annotation(9, bad_rle([WIDTH, HEIGHT], [0, HEIGHT * WIDTH])), "size"),
        (annotation(9, bad_rle([HEIGHT, WIDTH], [0, 7])), "add up to"),
        (annotation(9, bad_rle([HEIGHT, WIDTH], "04")), "add up to"),
    ],
)
def test_a_bad_annotation_is_named_or_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: dict, reason: str):
    files = write(tmp_path, [annotation(1, [square(2, 3, 5)]), bad])
    with pytest.raises(DataError, match=rf"instances\.json cannot .*: 1 error: annotation 9 in .*: .*{reason}"):
        load_annotations(*files)
    assert not caplog.records
    assert len(load_annotations(*files, drop_unusable=True).targets(0)) == 1
    assert reason in caplog.text


def test_a_second_annotation_of_one_id_is_an_object_with_a_number_of_its_own(tmp_path: Path):
    dataset = load(tmp_path, [annotation(1, [square(2, 3, 5)]), annotation(1, [square(20, 3, 5)])])
    assert dataset.annotation_ids.tolist() == [1, 2]
    assert len(dataset.targets(0)) == 2


def test_ids_that_are_texts_or_missing_are_numbered_and_what_refers_to_them_follows(tmp_path: Path):
    size = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": "a", "file_name": "1.png", **size}, {"id": "7", "file_name": "5.png", **size}]
    categories = [{"id": "fig", "name": "fig"}, {"id": 3.0, "name": "nut"}]
    one = annotation(1, [square(2, 3, 5)], image_id="a", category_id="fig")
    other = annotation(1, [square(2, 3, 5)], image_id=7, category_id="3")
    del other["id"]
    dataset = load(tmp_path, [one, other], images=images, categories=categories)
    assert (dataset.image_ids, dataset.category_ids, dataset.class_names) == ((8, 7), (3, 4), ("nut", "fig"))
    assert dataset.image.tolist() == [0, 1]
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.annotation_ids.tolist() == [1, 2]
    assert [record["image_id"] for record in dataset.coco["annotations"]] == [8, 7]
    assert {problem.kind for problem in dataset.problems} >= {"renumbered-ids", "renumbered-annotation"}


def test_ten_problems_are_named_and_the_rest_counted(tmp_path: Path):
    with pytest.raises(ValueError, match=r"13 errors.*annotation 9 in .*and 3 more") as error:
        load(tmp_path, [annotation(i, []) for i in range(13)])
    assert "annotation 10" not in str(error.value)


def test_bad_files(tmp_path: Path):
    path, folder = write(tmp_path, [])
    with pytest.raises(ValueError, match="category id 3 belongs to 'a' and 'b'"):
        load(tmp_path, [], categories=[{"id": 3, "name": "a"}, {"id": 3, "name": "b"}])
    with pytest.raises(ValueError, match="expected height and width"):
        load(tmp_path, [], images=[{"id": 1, "file_name": "1.png", "height": -1, "width": -1}])
    with pytest.raises(FileNotFoundError, match=r"1 of 1 images.*gone\.png"):
        load(tmp_path, [], images=[{"id": 1, "file_name": "gone.png", "height": 3, "width": 3}])
    path.write_text("{}")
    with pytest.raises(ValueError, match="no annotation format"):
        load_annotations(path, folder)
    path.write_text("<html>")
    with pytest.raises(ValueError, match="no annotation format"):
        load_annotations(path, folder)


def test_an_image_of_another_size_is_refused(tmp_path: Path):
    dataset = load(tmp_path, [])
    Image.fromarray(np.zeros((WIDTH, HEIGHT, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"1\.png is 40 x 30 .* says 30 x 40; the sides are swapped"):
        dataset.load(0)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_in_another_unicode_form_is_found(tmp_path: Path, form: str):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    name = "Zähne 1é.png"
    path, folder = write(tmp_path, [annotation(1, [square(2, 3, 5)])])
    (folder / "1.png").rename(folder / unicodedata.normalize(form, name))
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = unicodedata.normalize(other, name)
    path.write_text(json.dumps(content))
    dataset = load_annotations(path, folder)
    assert dataset.load(0).image.shape == (HEIGHT, WIDTH, 3)
    assert [problem.kind for problem in dataset.problems if problem.image >= 0] == ["file-name-spelling"]


def test_pairs_of_points_are_the_polygon_that_they_say(tmp_path: Path):
    pairs = np.reshape(square(2, 3, 5), (-1, 2)).tolist()
    forms = [[square(2, 3, 5)], pairs, [pairs], [pairs, pairs]]
    masks = full_masks(load(tmp_path, [annotation(k, form) for k, form in enumerate(forms)]), 0)
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])


def test_selecting_keeps_rows_images_and_problems_together(tmp_path: Path):
    annotations = [annotation(k, [square(2 + k, 3, 5)], image_id=image) for k, image in enumerate((5, 1, 5))]
    annotations[2]["segmentation"] = pairs = np.reshape(square(4, 3, 5), (-1, 2)).tolist()
    dataset = load(tmp_path, annotations)
    kept = dataset.select(np.array([False, True]), np.array([False, True, True]))
    assert (kept.image_ids, kept.annotation_ids.tolist(), kept.image.tolist()) == ((5,), [2], [0])
    assert kept.rle(0) == dataset.rle(2)
    assert [record["id"] for record in kept.coco["annotations"]] == [2]
    assert [problem.row for problem in kept.problems if problem.kind == "point-pairs"] == [0]
    assert len(pairs) == 4
    assert dataset.select(np.ones(2, bool), np.ones(3, bool)) is dataset
