"""Pictures of errors: each kind has its colour where it is, and the legend tells how many there are."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrcnn.evaluation import errors_drawn
from maskrcnn.evaluation.errors_drawn import SIDE_PX, draw_errors, error_counts
from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.evaluation.object_errors import object_errors
from maskrcnn.structures.instances import Instances

Box = tuple[int, int, int, int]
SIZE = (100, 220)


def truth_of(boxes: list[Box], size: tuple[int, int] = SIZE) -> GroundTruth:
    rles: list[Any] = []
    for x0, y0, x1, y1 in boxes:
        bitmap = np.zeros(size, np.uint8)
        bitmap[y0:y1, x0:x1] = 1
        rles.append(coco_mask.encode(np.asfortranarray(bitmap)))
    return GroundTruth(
        image_id=1,
        file_name="1.png",
        image_size=size,
        labels=np.zeros(len(boxes), np.int64),
        rles=tuple(rles),
        boxes_xywh=np.zeros((len(boxes), 4)),
        areas=np.zeros(len(boxes)),
        is_crowd=np.zeros(len(boxes), bool),
        names=tuple(map(str, range(len(boxes)))),
    )


def found(boxes: list[Box], labels: list[int] | None = None, size: tuple[int, int] = SIZE) -> Instances:
    return Instances(
        image_size=size,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels or [0] * len(boxes), dtype=torch.int64),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        mask_probs=torch.ones(len(boxes), 28, 28),
        class_names=("nut", "bolt"),
    )


# From left to right: found, missed, spurious, double, of a wrong class, merged (two), split.
OBJECTS: list[Box] = [
    (10, 10, 20, 60),
    (40, 10, 50, 60),
    (100, 10, 110, 60),
    (130, 10, 140, 60),
    (160, 10, 170, 60),
    (170, 10, 180, 60),
    (195, 10, 215, 60),
]
PREDICTIONS: list[Box] = [
    (10, 10, 20, 60),
    (70, 10, 80, 60),
    (100, 10, 110, 60),
    (100, 10, 110, 58),
    (130, 10, 140, 60),
    (160, 10, 180, 60),
    (195, 10, 215, 35),
    (195, 35, 215, 60),
]
LABELS = [0, 0, 0, 0, 1, 0, 0, 0]
PLACES = {
    "found": (10, 20),
    "missed": (40, 50),
    "spurious": (70, 80),
    "double": (100, 110),
    "wrong class": (130, 140),
    "merged": (160, 180),
    "split": (195, 215),
}


@pytest.mark.parametrize("level", [0, 255])
def test_every_kind_has_its_colour_where_it_is(level: int) -> None:
    truth, instances = truth_of(OBJECTS), found(PREDICTIONS, LABELS)
    errors = object_errors(truth, instances)
    assert error_counts(errors) == {
        "found": 2,
        "missed": 4,  # two of them merged, one split
        "spurious": 4,  # one merges, two are parts
        "double": 1,
        "wrong class": 1,
        "merged": 1,
        "split": 1,
    }
    picture = draw_errors(np.full((*SIZE, 3), level, np.uint8), truth, instances, errors)
    height = SIDE_PX * SIZE[0] // SIZE[1]
    assert picture.shape[1] == SIDE_PX
    assert picture.shape[0] > height, "there is a legend below"
    legend = picture[height:]
    column_of = SIDE_PX / SIZE[1]
    for name, (x0, x1) in PLACES.items():
        color = errors_drawn._COLORS[name][level > 0]
        assert (legend == color).all(axis=2).any(), name
        place = picture[:height, int((x0 - 2) * column_of) : int((x1 + 2) * column_of)]
        if name not in ("found", "missed"):  # their thin lines are mixed with what is below
            below_words = picture[int(10.5 * column_of) : height]  # above a wrong class is its name, which is wider
            columns = np.flatnonzero((below_words == color).all(axis=2).any(axis=0)) / column_of
            assert len(columns), name
            assert (columns > x0 - 1).all(), name
            assert (columns < x1 + 1).all(), name
        if name == "missed":  # filled
            mean = place[height // 4, place.shape[1] // 2].astype(int)
            assert mean[0] > mean[1] + 40
        else:
            assert (place[height // 4, place.shape[1] // 3] == level).all() or name in ("merged", "split"), name
            assert (place != level).any(), name


def test_nothing_changes_nothing_but_the_legend() -> None:
    image = np.random.default_rng(0).integers(0, 255, (SIDE_PX // 2, SIDE_PX, 3), dtype=np.uint8)
    truth, instances = truth_of([], (SIDE_PX // 2, SIDE_PX)), found([], size=(SIDE_PX // 2, SIDE_PX))
    picture = draw_errors(image, truth, instances, object_errors(truth, instances))
    np.testing.assert_array_equal(picture[: SIDE_PX // 2], image)


def test_large_and_narrow_pictures() -> None:
    size = (4000, 90)
    truth, instances = truth_of([(10, 10, 50, 3990)], size), found([(0, 0, 2, 2)], size=size)
    picture = draw_errors(np.zeros((*size, 3), np.uint8), truth, instances, object_errors(truth, instances))
    assert picture.shape[0] > SIDE_PX
    assert picture.shape[1] == round(90 * SIDE_PX / 4000)
    assert (picture == errors_drawn._COLORS["missed"][0]).all(axis=2).any()


def test_a_wrong_class_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    original = errors_drawn.text_mask
    monkeypatch.setattr(errors_drawn, "text_mask", lambda text, size: written.append(text) or original(text, size))
    truth, instances = truth_of(OBJECTS), found(PREDICTIONS, LABELS)
    errors = object_errors(truth, instances)
    picture = draw_errors(np.zeros((*SIZE, 3), np.uint8), truth, instances, errors)
    assert written == ["nut called bolt"], "the one of a wrong class, and no other"
    above = picture[int(6 * SIDE_PX / SIZE[1]) : int(9.5 * SIDE_PX / SIZE[1])]
    assert (above == errors_drawn._COLORS["wrong class"][0]).all(axis=2).any()
    long_name = replace(instances, class_names=("n" * 200_000, "b" * 200_000))
    draw_errors(np.zeros((*SIZE, 3), np.uint8), truth, long_name, errors)
    assert len(written[-1]) < 60


def test_rings_go_along_pixel_edges() -> None:
    # A square over the pixels 2..4 and 3..6. OpenCV counts from the centre of the first pixel, in sixteenths.
    (rle,) = truth_of([(2, 3, 5, 7)]).rles
    for scale in (1.0, 2.0):
        (ring,) = errors_drawn.rings_of(rle, scale)
        low, high = np.array([2, 3]) * scale - 0.5, np.array([5, 7]) * scale - 0.5
        assert ring.min(axis=0).tolist() == (low * 16).tolist()
        assert ring.max(axis=0).tolist() == (high * 16).tolist()
