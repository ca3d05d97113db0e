"""Evaluation on rectangles, whose overlaps can be worked out on paper."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from maskrcnn.evaluation.evaluate import above, best_threshold, evaluate, sweep_score_thresholds
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.structures.instances import Instances

NUCLEI = Path(__file__).parents[3] / "shared" / "data" / "nuclei" / "annotations" / "val.json"
SIZE: tuple[int, int] = (24, 64)
CATEGORY_IDS = (4, 9, 11)
CLASS_NAMES = ("date", "fig", "nut")

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thing:
    """A rectangle that is there (`score` 1) or was found."""

    box: Box
    label: int = 0
    score: float = 1.0
    is_crowd: bool = False


def found(*things: Thing) -> Instances:
    boxes = torch.tensor([thing.box for thing in things], dtype=torch.float32).reshape(-1, 4)
    return Instances(
        image_size=SIZE,
        boxes=boxes,
        labels=torch.tensor([thing.label for thing in things], dtype=torch.int64),
        scores=torch.tensor([thing.score for thing in things], dtype=torch.float32),
        mask_probs=torch.ones(len(things), 28, 28),
        class_names=CLASS_NAMES,
    )


def dataset_of(images: list[list[Thing]]) -> dict:
    """COCO dictionary with image ids 1, 2, ...; images of odd id are of kind "odd"."""
    annotations = []
    for image_id, things in enumerate(images, start=1):
        for thing in things:
            x0, y0, x1, y1 = thing.box
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image_id,
                    "category_id": CATEGORY_IDS[thing.label],
                    "iscrowd": int(thing.is_crowd),
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                }
            )
    records = [
        {"id": i, "height": SIZE[0], "width": SIZE[1], "file_name": f"{i}.png", "kind": ("even", "odd")[i % 2]}
        for i in range(1, len(images) + 1)
    ]
    categories = [{"id": c, "name": name} for c, name in zip(CATEGORY_IDS, CLASS_NAMES, strict=True)]
    return {"images": records, "annotations": annotations, "categories": categories}


def annotation_file(folder: Path, images: list[list[Thing]]) -> Path:
    path = folder / "annotations.json"
    path.write_text(json.dumps(dataset_of(images)))
    return path


def judge(folder: Path, true: list[list[Thing]], predicted: list[list[Thing]], **settings: Any) -> Evaluation:
    results = {image_id: found(*things) for image_id, things in enumerate(predicted, start=1)}
    arguments = {"max_detections": 100, "score_threshold": 0.5, **settings}
    return evaluate(results, annotation_file(folder, true), CATEGORY_IDS, **arguments)


A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)


def test_on_paper(tmp_path: Path) -> None:
    # Image 1: A is found twice, B two pixels off (IoU 80 / 120 = 0.67), C is a false alarm.
    # IoU 0.50 to 0.65 (4 thresholds): TP 2, FP 2, FN 0. 0.70 to 0.90 (5 thresholds): TP 1, FP 3, FN 1.
    # Image 2: nothing there, nothing found: 1. Image 3: one object, not found: 0. Below 0.5 nothing counts.
    true = [[Thing(A), Thing(B)], [], [Thing(C)]]
    predicted = [
        [Thing(A, score=0.9), Thing((22, 0, 32, 10), score=0.8), Thing(C, score=0.7), Thing(A, score=0.6)],
        [Thing(A, score=0.4)],
        [],
    ]
    evaluation = judge(tmp_path, true, predicted)
    score = evaluation.overall.mask_score
    assert score.image_mean_at == pytest.approx([(2 / 4 + 1 + 0) / 3] * 4 + [(1 / 5 + 1 + 0) / 3] * 5)
    assert score.pooled_at == pytest.approx([2 / 5] * 4 + [1 / 6] * 5)
    assert score.image_mean == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert score.pooled == pytest.approx((4 * 2 / 5 + 5 / 6) / 9)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 2, 1)
    # Counts: 4 for 2, 0 for 0, 0 for 1.
    count = evaluation.overall.count
    assert (count.total_predicted, count.total_true, count.total_relative_error) == (4, 3, pytest.approx(1 / 3))
    assert (count.mae, count.rmse, count.bias) == pytest.approx((3 / 3, (5 / 3) ** 0.5, 1 / 3))
    worst = evaluation.worst_images(2)
    assert [(image.file_name, image.predicted[0], image.true[0]) for image in worst] == [
        ("1.png", 4, 2),
        ("3.png", 0, 1),
    ]
    # Up to 0.4 the false alarm of image 2 counts too; 0.65 leaves three in image 1, 0.75 two, 0.95 none.
    maes = {row.score_threshold: row.mae for row in evaluation.overall.sweep.rows}
    assert maes[0.4] == pytest.approx(4 / 3)
    assert maes[0.65] == pytest.approx(2 / 3)
    assert maes[0.75] == pytest.approx(1 / 3)
    assert maes[0.95] == pytest.approx(3 / 3)
    # Above 0.7 and up to 0.8 two are left in image 1, in steps of 0.01: the middle one of 0.71 to 0.80.
    assert evaluation.overall.sweep.best_count.score_threshold == 0.76
    assert best_threshold(evaluation) == 0.76
    # IoU 0.50 at that score: (2 / 2 + 1 + 0) / 3 is the best there is, too.
    best = evaluation.overall.sweep.best_mask_score
    assert (best.score_threshold, best.image_mean50) == (0.76, pytest.approx(2 / 3))
    # A is counted twice; the false alarm at C is in image 1, and image 3 has its C missed.
    assert (evaluation.confusion.double, evaluation.confusion.spurious) == ((1, 0, 0), (1, 0, 0))
    assert [(image.missed, image.spurious, image.double) for image in evaluation.images] == [
        (0, 1, 1),
        (0, 0, 0),
        (1, 0, 0),
    ]


def test_perfect_results(tmp_path: Path) -> None:
    true = [[Thing(A), Thing(B, label=1)], [], [Thing(C, label=1), Thing(A)]]
    evaluation = judge(tmp_path, true, true)
    for ap in (evaluation.box, evaluation.mask, evaluation.boundary):
        assert ap.ap == ap.ap50 == ap.ap75 == ap.small == ap.recall == pytest.approx(1)
        assert ap.per_class == (pytest.approx(1), pytest.approx(1), None)
        assert ap.large is None
    assert evaluation.overall.mask_score.image_mean == evaluation.overall.mask_score.pooled == 1
    assert evaluation.overall.count.mae == evaluation.overall.count.total_relative_error == 0
    assert evaluation.overall.class_counts[2].total_relative_error is None  # no "nut" anywhere


def test_nothing(tmp_path: Path) -> None:
    nothing_found = judge(tmp_path, [[Thing(A)], []], [[], []])
    assert nothing_found.mask.ap == nothing_found.box.ap == nothing_found.boundary.ap == 0
    assert nothing_found.overall.mask_score.image_mean == 0.5
    assert nothing_found.overall.mask_score.pooled == 0
    assert nothing_found.overall.count.total_relative_error == 1
    nothing_there = judge(tmp_path, [[], []], [[Thing(A)], []])
    assert nothing_there.mask.ap is None
    assert nothing_there.overall.mask_score.image_mean == 0.5
    assert nothing_there.overall.count.total_relative_error is None
    no_images = judge(tmp_path, [], [])
    assert no_images.mask.ap is None
    assert no_images.overall.mask_score.image_mean == 1
    for evaluation in (nothing_found, nothing_there, no_images):
        assert evaluation.table()
        json.dumps(evaluation.to_dict(), allow_nan=False)
    # Where no threshold is better than another, none at the end of the range is taken.
    assert best_threshold(nothing_found) == best_threshold(no_images) == 0.52


def test_crowd_region_excuses_what_lies_in_it(tmp_path: Path) -> None:
    # Inside the crowd; more than half inside; half inside, which is not enough; of another class than the crowd.
    crowd = Thing((0, 0, 20, 20), is_crowd=True)
    inside, mostly, half, other = (
        Thing((2, 2, 8, 8)),
        Thing((14, 0, 24, 10)),
        Thing((15, 0, 25, 10)),
        Thing((2, 2, 8, 8), label=1),
    )
    evaluation = judge(tmp_path, [[crowd, Thing(C)]], [[inside, mostly, half, other, Thing(C)]])
    score = evaluation.overall.mask_score
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 2, 0)
    (image,) = evaluation.images
    assert (image.true, image.predicted) == ((1, 0, 0), (2, 1, 0))
    only_crowd = judge(tmp_path, [[crowd]], [[inside]])
    assert only_crowd.overall.mask_score.image_mean == 1
    # An annotated object in the crowd is still an object.
    hit = judge(tmp_path, [[crowd, inside]], [[inside]])
    assert hit.overall.mask_score.true_positives == hit.overall.count.total_predicted == 1


def test_wrong_class_is_wrong_twice(tmp_path: Path) -> None:
    evaluation = judge(tmp_path, [[Thing(A)]], [[Thing(A, label=1)]])
    assert evaluation.overall.mask_score.pooled == 0
    assert evaluation.overall.count.mae == 2
    assert evaluation.overall.count.bias == 0
    assert [count.bias for count in evaluation.overall.class_counts] == [-1, 1, 0]
    assert evaluation.worst_images(1, label=0)[0].count_error == 2


def test_groups(tmp_path: Path) -> None:
    true = [[Thing(A)], [Thing(A)], [Thing(B)]]
    predicted = [[Thing(A)], [], [Thing(B), Thing(C)]]
    evaluation = judge(tmp_path, true, predicted, group_key="kind")
    assert list(evaluation.groups) == ["even", "odd"]
    even, odd = evaluation.groups["even"], evaluation.groups["odd"]
    assert (even.num_images, even.mask_score.image_mean, even.count.mae) == (1, 0, 1)
    assert (odd.num_images, odd.mask_score.image_mean, odd.count.mae) == (2, 0.75, 0.5)
    assert [row.mae for row in odd.sweep.rows] == [0.5] * 95
    # A group is scored like the same images alone.
    alone = judge(tmp_path, true, predicted, image_ids=[1, 3])
    assert odd == alone.overall
    partial = judge(tmp_path, true, predicted, groups={2: "second"})
    assert partial.groups == {"second": even}
    with pytest.raises(ValueError, match="no image record of the annotations has the key 'modality'"):
        judge(tmp_path, true, predicted, group_key="modality")


def test_sweep_alone_is_the_one_of_the_evaluation(tmp_path: Path) -> None:
    true, predicted = [[Thing(A)]], [[Thing(A, score=0.5), Thing(B, score=0.3)]]
    evaluation = judge(tmp_path, true, predicted)
    sweep = sweep_score_thresholds({1: found(*predicted[0])}, tmp_path / "annotations.json", CATEGORY_IDS)
    assert sweep == evaluation.overall.sweep
    assert sweep.best_count.score_threshold == 0.41  # the middle of 0.31 to 0.50
    # A line for each 0.05, and one for 0.41, which is the best for masks too.
    lines = sweep.table().splitlines()
    assert len(lines) == 1 + 19 + 1
    assert [line.split()[0] for line in lines if "best count <- best mask score" in line] == ["0.41"]


def test_a_score_passes_a_threshold_of_the_same_number() -> None:
    # 0.7 is 0.699999988 in float32.
    assert len(above(found(Thing(A, score=0.7), Thing(B, score=0.69)), 0.7)) == 1


def test_result_is_quiet_and_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = judge(tmp_path, [[Thing(A)], []], [[Thing(A)], [Thing(B)]], max_detections=77, group_key="kind")
    assert capsys.readouterr().out == ""
    table = evaluation.table()
    for text in (
        "2 images, 1 object;",
        "at most 77 detections",
        "date",
        "even",
        "worst count: 2.png, 1 predicted, 0 true",
        "errors at mask IoU .50: 0 missed, 1 spurious, 0 double, 0 merged, 0 split, 0 of a wrong class",
    ):
        assert text in table
    read_back = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert read_back["mask"]["ap"] == evaluation.summary()["mask_ap"]
    assert read_back["groups"]["odd"]["mask_score"]["pooled"] == 1


def test_categories_without_a_class_are_named(tmp_path: Path) -> None:
    path = annotation_file(tmp_path, [[Thing(A), Thing(B, label=2)]])
    result = Instances.empty(SIZE, ("fig", "date"))
    evaluation = evaluate({1: result}, path, (9, 4), max_detections=100, score_threshold=0.5)
    assert evaluation.unknown_categories == ("nut",)
    assert evaluation.images[0].true == (0, 1)
    assert "nut" in evaluation.table()


def test_what_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = annotation_file(tmp_path, [[Thing(A)], []])
    good = {1: found(), 2: found()}

    def check(message: str, results: dict[int, Instances], category_ids: tuple[int, ...] = CATEGORY_IDS, **rest: Any):
        with pytest.raises(ValueError, match=message):
            evaluate(results, path, category_ids, max_detections=100, score_threshold=0.5, **rest)

    check("1 have none, first '2.png'", {1: found()})
    check("'1.png'.* is for an image of .64, 24.", {**good, 1: Instances.empty((SIZE[1], SIZE[0]), CLASS_NAMES)})
    check("each of the 3 classes", good, (4, 9))
    check("out of those of the annotations, .4, 9, 11., got .1, 2, 3.", good, (1, 2, 3))
    check("image id 5 is not one of the 2 images", good, image_ids=[5])
    check("got both", good, groups={}, group_key="kind")


@pytest.mark.skipif(not NUCLEI.is_file(), reason=f"{NUCLEI} is not here")
def test_nuclei_without_detections() -> None:
    dataset = json.loads(NUCLEI.read_bytes())
    results = {
        image["id"]: Instances.empty((image["height"], image["width"]), ("nucleus",)) for image in dataset["images"]
    }
    evaluation = evaluate(results, NUCLEI, (1,), max_detections=500, score_threshold=0.5, group_key="modality")
    assert evaluation.overall.count.total_true == len(dataset["annotations"])
    assert {name: group.num_images for name, group in evaluation.groups.items()} == {
        "brightfield": 2,
        "fluorescence": 50,
        "histology": 10,
    }
