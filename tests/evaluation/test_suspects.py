"""Annotations against made detections: on paper, laws, and nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.evaluation.suspects import ABSENCE, USUAL_IOU, Suspect, rank_suspects
from maskrcnn.structures.instances import Instances

SIZE = (60, 100)
Box = tuple[int, int, int, int]
A, B, C = (10, 10, 20, 20), (20, 10, 30, 20), (60, 30, 80, 50)
NAMES = ("date", "fig")


def truth_of(objects: list[tuple[Box, int]], crowds: tuple[int, ...] = ()) -> GroundTruth:
    boxes = np.array([box for box, _ in objects], np.float64).reshape(-1, 4)
    bitmaps = [np.zeros(SIZE, np.uint8, order="F") for _ in objects]
    for bitmap, ((x0, y0, x1, y1), _) in zip(bitmaps, objects, strict=True):
        bitmap[y0:y1, x0:x1] = 1
    rles: list[Any] = [coco_mask.encode(bitmap) for bitmap in bitmaps]
    return GroundTruth(
        image_id=7,
        file_name="7.png",
        image_size=SIZE,
        labels=np.array([label for _, label in objects], np.int64),
        rles=tuple(rles),
        boxes_xywh=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1),
        areas=np.zeros(len(objects)),
        is_crowd=np.isin(np.arange(len(objects)), crowds),
        names=tuple(f"a{g}" for g in range(len(objects))),
    )


def found(detections: list[tuple[Box, int, float]]) -> Instances:
    return Instances(
        image_size=SIZE,
        boxes=torch.tensor([box for box, _, _ in detections], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for _, label, _ in detections], dtype=torch.int64),
        scores=torch.tensor([score for _, _, score in detections], dtype=torch.float32),
        mask_probs=torch.ones(len(detections), 28, 28),
        class_names=NAMES,
    )


def suspects_of(
    objects: list[tuple[Box, int]], detections: list[tuple[Box, int, float]], crowds: tuple[int, ...] = ()
) -> list[Suspect]:
    return rank_suspects([truth_of(objects, crowds)], [found(detections)])


def test_nothing():
    assert rank_suspects([], []) == []
    assert suspects_of([], []) == []


def test_what_agrees_is_no_suspect():
    assert suspects_of([(A, 0), (C, 1)], [(A, 0, 1.0), (C, 1, 1.0)]) == []


def test_an_object_that_nobody_annotated():
    (one,) = suspects_of([(A, 0)], [(A, 0, 1.0), (C, 1, 0.9)])
    assert one == Suspect("unannotated", one.suspicion, 7, "7.png", -1, "", (1,), C, "", "fig")
    assert one.suspicion == pytest.approx(0.9)


def test_an_object_without_any_annotation_in_the_image():
    (one,) = suspects_of([], [(C, 1, 0.9)])
    assert (one.kind, one.suspicion, one.found) == ("unannotated", pytest.approx(0.9), (0,))


def test_half_of_it_lies_in_a_crowd_region():
    # The crowd has the left half of C, whose score is 0.8; nobody suspects crowd regions themselves.
    (one,) = suspects_of([((50, 30, 70, 50), 0)], [(C, 0, 0.8)], crowds=(0,))
    assert (one.kind, one.suspicion, one.annotation) == ("unannotated", pytest.approx(0.4), -1)


def test_an_annotation_that_is_never_found():
    (one,) = suspects_of([(A, 0), (C, 1)], [(A, 0, 1.0)])
    assert one == Suspect("never-found", ABSENCE, 7, "7.png", 1, "a1", (), C, "fig", "")
    # A detection of score 0.3 at its place speaks for it.
    (weak,) = suspects_of([(C, 1)], [(C, 1, 0.3)])
    assert (weak.kind, weak.suspicion) == ("never-found", pytest.approx(ABSENCE * 0.7))


def test_two_objects_in_one_annotation():
    both = (10, 10, 30, 20)
    (one,) = suspects_of([(both, 0)], [(A, 0, 0.95), (B, 0, 0.9)])
    # Each has an IoU of 1/2 with it, so contradicts it with its whole score: 1 - 0.05 * 0.1. Nothing spans both.
    assert one == Suspect("merged", one.suspicion, 7, "7.png", 0, "a0", (0, 1), both, "date", "date")
    assert one.suspicion == pytest.approx(0.995)
    # A detection of both, score 0.5, takes half of the suspicion.
    (less,) = suspects_of([(both, 0)], [(A, 0, 0.8), (B, 0, 0.7), (both, 0, 0.5)])
    assert (less.kind, less.suspicion) == ("merged", pytest.approx(0.5 * (1 - 0.2 * 0.3)))


def test_the_two_objects_of_a_merged_annotation_are_no_suspects_themselves():
    # A fifth of B lies outside the annotation.
    (one,) = suspects_of([((10, 10, 28, 20), 0)], [(A, 0, 0.95), (B, 0, 0.9)])
    assert (one.kind, one.found) == ("merged", (0, 1))


def test_neighbours_that_reach_into_an_annotation_are_not_merged_in_it():
    # Each has 4 of its 10 columns inside.
    kinds = {one.kind for one in suspects_of([(A, 0)], [((4, 10, 14, 20), 0, 0.9), ((16, 10, 26, 20), 0, 0.8)])}
    assert kinds == {"loose-outline", "unannotated"}


def test_one_object_found_twice_is_not_two():
    (one,) = suspects_of([((10, 10, 30, 20), 0)], [(A, 0, 0.9), ((11, 10, 21, 20), 0, 0.8)])
    assert (one.kind, one.found) == ("loose-outline", (0,))


def test_one_detection_stands_for_one_annotation():
    # Nothing is found of two annotated neighbours but what spans both.
    first, second = suspects_of([(A, 0), (B, 0)], [((10, 10, 30, 20), 0, 0.9)])
    assert [(one.kind, one.found) for one in (first, second)] == [("loose-outline", (0,)), ("never-found", ())]


def test_a_shifted_outline():
    # Of 20 x 20 px shifted by 10: 200 px in common, 600 in all; an IoU of 1/3 is as good as none.
    (one,) = suspects_of([((70, 30, 90, 50), 1)], [(C, 1, 0.9)])
    assert (one.kind, one.found, one.box) == ("loose-outline", (0,), (60, 30, 90, 50))
    assert one.suspicion == pytest.approx(0.9)
    # Shifted by 5: 300 px in common, 500 in all.
    (less,) = suspects_of([((65, 30, 85, 50), 1)], [(C, 1, 0.9)])
    assert less.suspicion == pytest.approx(0.9 * (USUAL_IOU - 0.6) / (USUAL_IOU - 0.5))


def test_a_wrong_class():
    (one,) = suspects_of([(C, 0)], [(C, 1, 0.9)])
    assert (one.kind, one.annotated_class, one.found_class) == ("wrong-class", "date", "fig")
    assert one.suspicion == pytest.approx(0.9)
    # The model is also fairly sure of the class that was annotated.
    (less,) = suspects_of([(C, 0)], [(C, 1, 0.6), (C, 0, 0.4)])
    assert (less.kind, less.suspicion) == ("wrong-class", pytest.approx(0.6 * 0.6))


def test_the_usual_iou_of_a_set_is_no_suspicion():
    # 25 objects whose outlines are all drawn one pixel too far to the right: IoU 9 / 11.
    drawn = [((x, y, x + 10, y + 10), 0) for x in range(5, 90, 18) for y in range(2, 50, 11)]
    detections = [((x0 - 1, y0, x1 - 1, y1), 0, 1.0) for (x0, y0, x1, y1), _ in drawn]
    assert len(drawn) == 25
    assert suspects_of(drawn, detections) == []
    (one, *rest) = suspects_of([((9, 2, 19, 12), 0), *drawn[1:]], detections)
    assert (one.kind, one.annotation, rest) == ("loose-outline", 0, [])


def test_a_place_is_named_once_and_the_order_of_detections_does_not_matter():
    rng = np.random.default_rng(0)
    for _ in range(20):

        def box() -> Box:
            x, y, w, h = rng.integers([0, 0, 8, 8], [70, 40, 25, 18]).tolist()
            return x, y, x + w, y + h

        objects = [(box(), int(rng.integers(2))) for _ in range(6)]
        detections = [(box(), int(rng.integers(2)), float(rng.random())) for _ in range(9)]
        once = suspects_of(objects, detections)
        annotations = [one.annotation for one in once if one.annotation >= 0]
        assert len(annotations) == len(set(annotations))
        alone = [one.found[0] for one in once if one.annotation < 0]
        assert len(alone) == len(set(alone))
        assert all(0 < one.suspicion <= 1 for one in once)
        assert [one.suspicion for one in once] == sorted((one.suspicion for one in once), reverse=True)
        again = suspects_of(objects, detections[::-1])
        assert [(a.kind, a.suspicion, a.annotation, a.box) for a in again] == [
            (a.kind, a.suspicion, a.annotation, a.box) for a in once
        ]
