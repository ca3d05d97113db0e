"""Annotations that once took all memory, all time or the process: each is named in a sentence, within limits."""

import base64
import io
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.checks.polygon_crossings import is_self_crossing
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.evaluation.dataset_check import check_dataset

MEMORY_BYTES = 2**31
SIZE = {"height": 40, "width": 60}
SQUARE = [4, 4, 20, 4, 20, 18, 4, 18]


@pytest.fixture(autouse=True)
def _little_memory() -> Any:
    """Whoever takes 2 GB more than there was gets a MemoryError, and the test fails."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    old = resource.getrlimit(resource.RLIMIT_AS)
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


def coco(folder: Path, **changes: Any) -> Path:
    """One picture with one good object, besides what is changed."""
    Image.new("RGB", (60, 40), (9, 200, 9)).save(folder / "1.png")
    content = {
        "images": [{"id": 1, "file_name": "1.png", **SIZE}],
        "categories": [{"id": 1, "name": "nut"}],
        "annotations": [annotation(1, [SQUARE])],
    }
    path = folder / "x.json"
    path.write_text(json.dumps(content | changes))
    return path


def annotation(number: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    box = {"bbox": [4, 4, 16, 14], "area": 224, "iscrowd": 0}
    return {"id": number, "image_id": 1, "category_id": 1, "segmentation": segmentation, **box, **more}


def zigzag(num: int, width: float) -> list[float]:
    return np.stack([np.arange(num) % 2 * width, np.linspace(0, 39, num)], axis=1).ravel().tolist()


HUGE = 2**30
COCO: dict[str, tuple[dict[str, Any], str]] = {
    "an image of 2^60 pixels": (
        {
            "images": [{"id": 1, "file_name": "1.png", "height": HUGE, "width": HUGE}],
            "annotations": [annotation(1, [[0, 0, HUGE, 0, HUGE, HUGE, 0, HUGE]])],
        },
        "bad-image-size",
    ),
    "an outline of 100,000 zigzags": ({"annotations": [annotation(1, [zigzag(100_000, 59)])]}, "long-outline"),
    "a far polygon": ({"annotations": [annotation(1, [[0, 0, 1e30, 0, 1e30, 1e30]])]}, "far-coordinates"),
    "a class of 200,000 letters": ({"categories": [{"id": 1, "name": "x" * 200_000}]}, "bad-category"),
    "a category without id": ({"categories": [{"name": "nut"}]}, "bad-category"),
    "an id that is a list": ({"images": [{"id": [1], "file_name": "1.png", **SIZE}]}, "bad-image-record"),
    "a file name that is a number": ({"images": [{"id": 1, "file_name": 1, **SIZE}]}, "bad-image-record"),
    "a file name with a zero": ({"images": [{"id": 1, "file_name": "a\0b", **SIZE}]}, "bad-image-record"),
    "a lone surrogate": ({"images": [{"id": 1, "file_name": "\ud800", **SIZE}]}, "bad-image-record"),
    "a long file name": ({"images": [{"id": 1, "file_name": "x" * 5000, **SIZE}]}, "bad-image-record"),
    "a number of a million digits": ({"annotations": [annotation(1, [SQUARE], image_id=10**4000)]}, "unknown-image"),
    "a score of NaN": ({"annotations": [annotation(1, [SQUARE], score=float("nan"))]}, "non-finite-value"),
    "NaN in a polygon": ({"annotations": [annotation(1, [[float("nan"), *SQUARE[1:]]])]}, "non-finite-coordinates"),
    "NaN in a box": ({"annotations": [annotation(1, [SQUARE], bbox=[float("nan")] * 4)]}, "bad-box"),
    "NaN of an image": (
        {"images": [{"id": 1, "file_name": "1.png", **SIZE, "gps": [float("inf")]}]},
        "non-finite-value",
    ),
    "a NaN beside the lists": ({"info": {"version": float("nan")}}, "non-finite-value"),
}


@pytest.mark.parametrize("name", COCO)
def test_coco_is_checked_and_drawn_and_its_problem_is_named(tmp_path: Path, name: str):
    changes, kind = COCO[name]
    path = coco(tmp_path, **changes)
    check = check_dataset(path, tmp_path)
    problem = next(problem for problem in check.problems if problem.kind == kind)
    assert problem.file.endswith(("x.json", "1.png"))
    assert len(problem.reason) < 400
    assert check.is_usable == (problem.severity != "error")
    check.write(tmp_path / "out")
    assert kind in (tmp_path / "out" / "problems.csv").read_text()
    (table,) = read_dataset(path, tmp_path).values()
    json.dumps(table.usable().coco, allow_nan=False)  # what convert_dataset and train write


def test_json_that_is_nested_too_deeply_is_no_json(tmp_path: Path):
    (tmp_path / "x.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="no annotation format"):
        check_dataset(tmp_path / "x.json", tmp_path)


def test_outlines_of_many_points_take_little_time():
    # A comb: every edge overlaps every other along x, which is 450 million pairs, and none crosses.
    comb = np.reshape(zigzag(30_000, 59), (-1, 2))
    assert not is_self_crossing(np.concatenate([comb, [[59, 45], [-9, 45], [-9, -1]]]))
    angle = np.linspace(0, 2 * np.pi, 30_000, endpoint=False)
    assert is_self_crossing(np.stack([1000 * np.sin(angle), 500 * np.sin(2 * angle)], axis=1))


@pytest.mark.parametrize("radius", [1e14, 1e30, 1e300])
def test_a_circle_far_larger_than_any_picture(tmp_path: Path, radius: float):
    Image.new("RGB", (60, 40)).save(tmp_path / "1.png")
    shapes = [{"label": "nut", "shape_type": "circle", "points": [[5, 5], [5 + radius, 5]]}]
    shapes += [{"label": "nut", "shape_type": "polygon", "points": [[4, 4], [20, 4], [20, 18]]}]
    size = {"imageHeight": 40, "imageWidth": 60}
    (tmp_path / "1.json").write_text(json.dumps({"imagePath": "1.png", "shapes": shapes, **size}))
    (table,) = read_dataset(tmp_path).values()
    assert [problem.kind for problem in table.problems] == ["far-coordinates"]
    circle = {"shape_attributes": {"name": "circle", "cx": 5, "cy": 5, "r": radius}, "region_attributes": {}}
    rect = {"shape_attributes": {"name": "rect", "x": 5, "y": 5, "width": 9, "height": 9}, "region_attributes": {}}
    (tmp_path / "1.json").write_text(json.dumps({"1.png": {"filename": "1.png", "regions": [circle, rect]}}))
    (table,) = read_dataset(tmp_path).values()
    assert [problem.kind for problem in table.problems] == ["far-coordinates"]


def yolo(folder: Path, text: str, labels: str = "0 0.1 0.1 0.5 0.1 0.5 0.5") -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
    Image.new("RGB", (60, 40)).save(folder / "images" / "1.png")
    (folder / "labels" / "1.txt").write_text(labels)
    (folder / "data.yaml").write_text(text)
    return folder


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS + "names: *a11\ntrain: images", "no annotation format"),
        ("names: {0: a, b: c}\ntrain: images", "numbers of names to be 0 to 1, got"),
        ("names: {0: a, null: c, [1]: d}\ntrain: images", "no annotation format"),
        ("names: [[a], [b]]\ntrain: images", "expected names, one for each class"),
        ("names: [a]\ntrain: /dev/zero", "there is no /dev/zero"),
        ("names: [a]\ntrain: /dev/zero\nval: [1, {}]", "there is no"),
    ],
)
def test_yaml_within_limits(tmp_path: Path, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_dataset(yolo(tmp_path, text))


def test_yolo_that_names_no_splits_or_has_only_classes(tmp_path: Path):
    root = yolo(tmp_path, "names: [nut]")
    (table,) = read_dataset(root).values()
    assert (table.class_names, len(table), len(table.names)) == (("nut",), 1, 1)
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("nut\nfig\n")
    (table,) = read_dataset(root).values()
    assert (table.class_names, len(table), len(table.names)) == (("nut", "fig"), 1, 1)


def spoil(data: bytes) -> list[bytes]:
    """The file cut, and with single bytes changed."""
    cut = [data[:n] for n in (0, 8, 30, len(data) // 2, len(data) - 8)]
    return cut + [data[:n] + bytes([data[n] ^ 0x55]) + data[n + 1 :] for n in range(0, len(data), 3)]


def test_damaged_masks_are_named_and_the_others_stay(tmp_path: Path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    values = np.zeros((40, 60), np.uint8)
    values[5:20, 6:30] = 1
    for name in ("a", "b"):
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(values).save(tmp_path / "masks" / f"{name}.png")
    whole = (tmp_path / "masks" / "a.png").read_bytes()
    num_bad = 0
    for damaged in spoil(whole):
        (tmp_path / "masks" / "a.png").write_bytes(damaged)
        (table,) = read_dataset(tmp_path).values()
        assert "b.png" in table.file_names
        num_bad += any(problem.file.endswith("a.png") for problem in table.problems)
    assert num_bad > 20


def labelme_mask(folder: Path, mask: bytes) -> Path:
    Image.new("RGB", (60, 40)).save(folder / "1.png")
    data = base64.b64encode(mask).decode()
    shapes = [{"label": "nut", "shape_type": "mask", "points": [[4, 4], [13, 11]], "mask": data}]
    shapes += [{"label": "nut", "shape_type": "polygon", "points": [[4, 4], [20, 4], [20, 18]]}]
    content = {"imagePath": "1.png", "shapes": shapes, "imageHeight": 40, "imageWidth": 60}
    (folder / "1.json").write_text(json.dumps(content))
    return folder


def png(size: tuple[int, int], make: Callable[[tuple[int, int]], Image.Image]) -> bytes:
    written = io.BytesIO()
    make(size).save(written, "PNG")
    return written.getvalue()


def test_damaged_masks_inside_labelme(tmp_path: Path):
    whole = png((10, 8), lambda size: Image.new("L", size, 1))
    (table,) = read_dataset(labelme_mask(tmp_path, whole)).values()
    assert len(table.names) == 2
    for damaged in spoil(whole):
        (table,) = read_dataset(labelme_mask(tmp_path, damaged)).values()
        assert len(table.names) >= 1
        assert {problem.kind for problem in table.problems} <= {"malformed-shape"}


def test_masks_beyond_the_limit_of_pictures_are_refused_from_their_header(tmp_path: Path):
    header = bytearray(png((10, 8), lambda size: Image.new("L", size, 1)))
    header[16:24] = (2**20).to_bytes(4, "big") * 2
    (table,) = read_dataset(labelme_mask(tmp_path, bytes(header))).values()
    (problem,) = table.problems
    assert problem.kind == "malformed-shape"


def test_voc_boxes_are_named_as_what_they_are(tmp_path: Path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations" / "1.xml").write_text("<annotation><object><bndbox/></object></annotation>")
    for path in (tmp_path, tmp_path / "Annotations", tmp_path / "Annotations" / "1.xml"):
        with pytest.raises(ValueError, match=r"VOC's XML has boxes, .*SegmentationObject"):
            read_dataset(path)


def test_a_class_that_looks_like_a_formula_is_drawn_as_it_is(tmp_path: Path):
    names = [r"$\frac{$", "$x", "fig"]
    path = coco(
        tmp_path,
        categories=[{"id": k, "name": name} for k, name in enumerate(names)],
        annotations=[annotation(k + 1, [SQUARE], category_id=k) for k in range(3)],
    )
    page = check_dataset(path, tmp_path).write(tmp_path / "out")
    assert r"$\frac{$" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["x" * 100_000 + ".png", "a\0.png"])
def test_a_name_that_no_file_can_have_is_a_picture_that_is_not_there(tmp_path: Path, name: str):
    """The other pictures stay, and the message has no more of the name than a page has room for."""
    Image.new("RGB", (60, 40)).save(tmp_path / "1.png")
    shape = {"name": "polygon", "all_points_x": SQUARE[::2], "all_points_y": SQUARE[1::2]}
    regions = [{"shape_attributes": shape, "region_attributes": {}}]
    files = {str(i): {"filename": file, "size": 1, "regions": regions} for i, file in enumerate(("1.png", name))}
    (tmp_path / "via.json").write_text(json.dumps(files))
    check = check_dataset(tmp_path / "via.json")
    assert [problem.kind for problem in check.problems if problem.severity == "error"] == ["missing-image"]
    assert sum(map(len, check.splits.values())) >= 1
    assert len(check.text()) < 3000
