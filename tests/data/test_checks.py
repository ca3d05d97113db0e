import copy
import itertools
import random
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.checks import check_coco, examine
from maskrcnn.data.checks.polygon_crossings import is_self_crossing
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.problems import CHECK_KINDS, Problem, blocking
from maskrcnn.data.reading import load_annotations
from tests.data.clean_set import HEIGHT, WIDTH, CocoSet, clean_set, mask, polygons
from tests.data.spoilt_sets import CASES, Case

# `load_annotations` asks of boxes only that they are four numbers, and knows nothing of other files: these load.
ERRORS_THAT_LOAD = {
    *("duplicate-category-name", "duplicate-file-name", "no-images", "mostly-crowd", "no-instances"),
    *("degenerate-box", "box-outside-image", "xyxy-boxes", "image-in-two-splits", "class-names-differ"),
}


def check(coco_set: CocoSet) -> list[Problem]:
    return check_splits({"train": (coco_set.coco, coco_set.folder), "val": (coco_set.val, coco_set.folder)})


def check_splits(splits: dict[str, tuple[Any, Path]], *, pixels: bool = True) -> list[Problem]:
    return examine(tables(splits), pixels=pixels).problems


def tables(splits: dict[str, tuple[Any, Path]]) -> dict[str, Annotations]:
    return {name: annotations_from_coco(coco, folder, name) for name, (coco, folder) in splits.items()}


def spoilt_set(case: Case, folder: Path) -> CocoSet:
    coco_set = clean_set(folder)
    case.spoil(coco_set)
    return coco_set


every_case = pytest.mark.parametrize("case", CASES, ids=[case.spoil.__name__ for case in CASES])


def test_records_that_are_there_twice_change_nothing(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    clean = annotations_from_coco(coco_set.coco, coco_set.folder, "train")
    for key in ("images", "categories"):
        coco_set.coco[key] += copy.deepcopy(coco_set.coco[key])
    twice = annotations_from_coco(coco_set.coco, coco_set.folder, "train")
    assert {problem.kind for problem in twice.problems} == {"repeated-record"}
    assert {problem.severity for problem in twice.problems} == {"fixed"}
    assert (twice.file_names, twice.class_names) == (clean.file_names, clean.class_names)
    assert np.array_equal(twice.labels, clean.labels)
    assert np.array_equal(twice.image, clean.image)


@every_case
def test_a_spoilt_set_is_named_by_annotation_and_reason_and_nothing_else_is_found(case: Case, tmp_path: Path):
    problems = check(spoilt_set(case, tmp_path))
    assert {problem.kind for problem in problems} == {case.kind} | case.also, problems
    (problem,) = (problem for problem in problems if problem.kind == case.kind)
    assert re.search(case.reason, problem.reason), problem.reason
    assert problem.annotation_id == case.annotation_id
    assert problem.severity == CHECK_KINDS[case.kind].severity
    assert problem.file in ("train", "val") or Path(problem.file).parent in (tmp_path, tmp_path / "images")


def test_every_kind_of_problem_has_a_spoilt_set():
    assert sorted(case.kind for case in CASES) == sorted(CHECK_KINDS)


def test_a_clean_set_has_no_problem(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    assert check(coco_set) == []
    assert check_coco(coco_set.coco, coco_set.folder, "train.json") == []


@every_case
def test_what_loading_refuses_is_an_error_and_what_is_no_error_loads(case: Case, tmp_path: Path):
    coco_set = spoilt_set(case, tmp_path)
    has_errors = bool(blocking(check_coco(coco_set.coco, coco_set.folder, "train.json")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = load_annotations(coco_set.write(), coco_set.folder)
            for index in range(len(dataset)):
                dataset.load(index)
            is_refused = False
        except (ValueError, FileNotFoundError):
            is_refused = True
    assert is_refused == (has_errors and case.kind not in ERRORS_THAT_LOAD)


VALUES: list[Any] = [
    *(None, "", "one", 5, -1, 1.5, True, 10**30, float("nan"), float("inf"), [], {}, [[]], [None]),
    *([1, 2, 3], [[1, 2, 3, 4, 5, 6]], [["a"] * 6], [[1, 2, None, 4, 5, 6]], [True] * 6, [10**30] * 6),
    *({"size": [HEIGHT, WIDTH], "counts": counts} for counts in (5, "é", ["a"], [1.5, 3], [-5, 2405], [10**30], [[1]])),
    *({"size": size, "counts": "a"} for size in (None, 5, [HEIGHT], [[], 1])),
]


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The path to everything inside lists and dictionaries."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(*path, key), *places(inner, (*path, key))]]


def test_whatever_stands_in_a_file_the_checks_end(tmp_path: Path):
    clean = clean_set(tmp_path)
    rng = random.Random(0)
    for path, value in rng.sample(list(itertools.product(places(clean.coco), VALUES)), 300):
        coco = copy.deepcopy(clean.coco)
        holder: Any = coco
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
        check_splits({"train": (coco, tmp_path), "val": (clean.val, tmp_path)}, pixels=False)
    assert check_coco([], tmp_path, "list.json")[0].kind == "not-coco"  # pyright: ignore[reportArgumentType]


def test_only_errors_block_and_only_those_that_are_not_allowed():
    problems = [
        Problem("error", "degenerate-box", ""),
        Problem("error", "xyxy-boxes", ""),
        Problem("warning", "one-pixel-mask", ""),
    ]
    assert blocking(problems) == problems[:2]
    assert blocking(problems, {"degenerate-box"}) == [problems[1]]
    assert blocking(problems, ["degenerate-box", "xyxy-boxes"]) == []


def test_without_pixels_a_damaged_file_stays_unseen_but_its_size_is_read(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    path = tmp_path / "1.png"
    path.write_bytes(path.read_bytes()[:2000])
    coco_set.coco["images"][1]["height"] = HEIGHT + 1
    coco_set.coco["annotations"] = coco_set.coco["annotations"][:2]
    quick = check_coco(coco_set.coco, tmp_path, "train.json", pixels=False)
    assert {problem.kind for problem in quick} == {"wrong-size", "empty-images"}
    assert "unreadable-image" in {problem.kind for problem in check_coco(coco_set.coco, tmp_path, "train.json")}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("pixels", [True, False])
def test_annotations_of_the_upright_picture_are_right_whatever_exif_says(tmp_path: Path, suffix: str, pixels: bool):
    coco_set = clean_set(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 8
    noise = np.random.default_rng(4).integers(0, 256, (WIDTH, HEIGHT, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"turned.{suffix}", exif=exif)
    coco_set.coco["images"][0]["file_name"] = f"turned.{suffix}"
    assert check_coco(coco_set.coco, tmp_path, "train.json", pixels=pixels) == []


def test_sides_that_are_exchanged_without_exif_are_said_to_be(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    Image.fromarray(np.zeros((WIDTH, HEIGHT, 3), np.uint8)).save(tmp_path / "1.png")
    (problem,) = check_coco(coco_set.coco, tmp_path, "train.json")
    assert (problem.kind, problem.severity) == ("swapped-size", "error")
    assert problem.reason.endswith("EXIF does not explain it")


def test_pictures_of_one_colour_are_not_taken_for_the_same(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    for name in ("1.png", "3.png"):
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / name)
    assert check(coco_set) == []


def test_one_file_in_two_splits_is_found_without_pixels(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    coco_set.val["images"][0]["file_name"] = "1.png"
    splits = {"train": (coco_set.coco, tmp_path), "val": (coco_set.val, tmp_path)}
    examination = examine(tables(splits), pixels=False)
    assert [problem.kind for problem in examination.problems] == ["image-in-two-splits"]
    assert [[place.split for place in group] for group in examination.same_pictures] == [["train", "val"]]


def test_a_warning_that_most_annotations_have_is_said_once(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    objects = [polygons(i, 1, [[i, 4, i + 16, 4, i + 16, 18, i, 18]]) for i in range(30)]
    for annotation in objects:
        del annotation["iscrowd"]
    coco_set.coco["annotations"][:2] = objects
    coco_set.coco["annotations"] = [a | {"id": 100 + i} for i, a in enumerate(coco_set.coco["annotations"])]
    (problem,) = check_coco(coco_set.coco, tmp_path, "train.json")
    assert problem.reason == "30 of 34 annotations; the first: there is no iscrowd; in 1.png"
    assert problem.annotation_id == "100"


def test_boxes_without_masks_are_told_to_be_corners_by_the_image(tmp_path: Path):
    # [30, 20, 50, 36] reaches to x 80, y 56 as sizes, beyond 60 x 40, and fits as corners.
    coco_set = clean_set(tmp_path)
    for annotation in coco_set.coco["annotations"]:
        annotation.update(segmentation=[], bbox=[30, 20, 50, 36])
    kinds = {problem.kind for problem in check_coco(coco_set.coco, tmp_path, "train.json")}
    assert "xyxy-boxes" in kinds
    assert "box-over-the-edge" not in kinds


def test_a_single_box_of_corners_among_good_ones_is_no_reason_to_doubt_all(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    coco_set.annotation(6)["bbox"] = [45, 3, 56, 14]
    (problem,) = check_coco(coco_set.coco, tmp_path, "train.json")
    assert (problem.kind, problem.annotation_id) == ("box-over-the-edge", "6")


def test_small_differences_of_boxes_and_areas_are_no_problem(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    for annotation in coco_set.coco["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x - 0.5, y, w - 1, h - 1]  # without the last pixel, as some count
        annotation["area"] *= 1.05
    assert check_coco(coco_set.coco, tmp_path, "train.json") == []


def test_a_mask_that_is_drawn_twice_with_two_classes_says_so(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    coco_set.coco["annotations"].append(coco_set.annotation(2) | {"id": 9, "category_id": 7})
    (problem,) = check_coco(coco_set.coco, tmp_path, "train.json")
    assert problem.reason == "the same mask as annotation 2, there of class 'nut'; in 1.png"


def test_the_same_mask_on_two_images_is_no_twin(tmp_path: Path):
    coco_set = clean_set(tmp_path)
    coco_set.coco["annotations"].append(mask(9, 1, np.eye(HEIGHT, WIDTH, dtype=bool)))
    coco_set.coco["annotations"].append(mask(10, 2, np.eye(HEIGHT, WIDTH, dtype=bool)))
    assert check_coco(coco_set.coco, tmp_path, "train.json") == []


BOW_TIE = [[0, 0], [10, 10], [10, 0], [0, 10]]
KEYHOLE = [[0, 0], [30, 0], [30, 30], [0, 30], [0, 10], [10, 10], [10, 20], [20, 20], [20, 10], [10, 10], [0, 10]]
KNOT = [[0, 0], [30, 0], [30, 30], [15, 30], [15.5, 31], [16, 31], [15, 29.8], [0, 30]]
SPIRAL = [[0, 0], [30, 0], [30, 30], [2, 30], [2, -5], [35, -5], [35, 35], [-5, 35]]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        pytest.param(BOW_TIE, True, id="points in the wrong order"),
        pytest.param(SPIRAL, True, id="once around and a half"),
        pytest.param(KEYHOLE, False, id="a hole joined by a bridge"),
        pytest.param(KNOT, False, id="a knot of a pixel"),
        pytest.param([[0, 0], [10, 0], [5, 8]], False, id="a triangle"),
        pytest.param([[3, 3]] * 5, False, id="one point five times"),
    ],
)
def test_what_counts_as_crossing(points: list, expected: bool):
    ring = np.array(points, np.float64)
    for start in range(len(ring)):  # wherever the outline begins, and whichever way it runs
        assert is_self_crossing(np.roll(ring, start, axis=0)) is expected
        assert is_self_crossing(np.roll(ring, start, axis=0)[::-1]) is expected


def test_long_outlines_are_compared_in_pieces():
    angle = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    star = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (100 + 20 * np.cos(40 * angle))[:, None]
    assert not is_self_crossing(star)
    eight = np.stack([100 * np.sin(angle), 50 * np.sin(2 * angle)], axis=1)
    assert is_self_crossing(eight)
