"""COCO AP against pycocotools' own evaluation, number for number."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn.evaluation.average_precision import Kind, average_precision
from maskrcnn.evaluation.ground_truth import ground_truth, read_annotations
from maskrcnn.structures.instances import Instances
from tests.oracles.boundary import boundary_reference

DATA = Path(__file__).parents[3] / "shared" / "data"
COCO_SAMPLE = DATA / "coco-sample" / "annotations" / "instances.json"
KINDS: tuple[Kind, ...] = ("box", "mask", "boundary")
NUCLEI = DATA / "nuclei" / "annotations" / "val.json"


@dataclass(frozen=True, eq=False)
class DrawnInstances(Instances):
    """Instances whose masks are given as RLE."""

    drawn: tuple[dict[str, Any], ...] = ()

    def rles(self) -> list[dict[str, Any]]:
        return list(self.drawn)


def instances_of(detections: list[dict], image: dict, category_ids: list[int]) -> DrawnInstances:
    boxes = torch.tensor([d["bbox"] for d in detections], dtype=torch.float32).reshape(-1, 4)
    return DrawnInstances(
        image_size=(image["height"], image["width"]),
        boxes=torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1),
        labels=torch.tensor([category_ids.index(d["category_id"]) for d in detections], dtype=torch.int64),
        scores=torch.tensor([d["score"] for d in detections]),
        mask_probs=torch.zeros(len(detections), 28, 28),
        class_names=tuple(str(c) for c in category_ids),
        drawn=tuple(d["segmentation"] for d in detections),
    )


def detect(dataset: dict, coco: COCO, rng: np.random.Generator) -> list[dict]:
    """Up to three shifted copies of every object, some of a wrong class; whole-pixel boxes stay exact in float32."""
    category_ids = [category["id"] for category in dataset["categories"]]
    detections = []
    for annotation in dataset["annotations"]:
        bitmap = coco.annToMask(annotation)
        for _ in range(rng.integers(0, 4)):
            rle: Any = coco_mask.encode(np.asfortranarray(np.roll(bitmap, rng.integers(-4, 5, 2), (0, 1))))
            is_confused = rng.random() < 0.1
            detections.append(
                {
                    "image_id": annotation["image_id"],
                    "category_id": rng.choice(category_ids).item() if is_confused else annotation["category_id"],
                    "score": rng.integers(1, 60).item() / 64,  # ties are likely
                    "segmentation": rle,
                    "bbox": coco_mask.toBbox(rle).tolist(),
                }
            )
    return detections


def synthetic_dataset(rng: np.random.Generator) -> dict:
    """Objects of every COCO size in 4 images; a fifth image is empty, and the third class is never seen."""
    annotations = []
    for number in range(1, 41):
        image_id, size = number % 4, (8, 20, 60, 120)[number // 4 % 4]
        x, y = rng.integers(0, 200, 2).tolist()
        segmentation = [[x, y, x + size, y, x + size, y + size, x, y + size, x, y + size / 2]]
        annotations.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": (3, 7)[number % 3 == 0],
                "iscrowd": int(number % 10 == 0),
                "bbox": [x, y, size, size],
                "area": size * size,
                "segmentation": segmentation,
            }
        )
    return {
        "images": [{"id": i, "height": 240, "width": 256, "file_name": f"{i}.png"} for i in range(5)],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "date"}, {"id": 7, "name": "fig"}, {"id": 9, "name": "nut"}],
    }


def coco_of(dataset: dict) -> COCO:
    coco = COCO()
    coco.dataset = dataset  # pyright: ignore[reportAttributeAccessIssue]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


class BoundaryEval(COCOeval):
    """Boundary AP as it is published: of all pairs the IoU of masks and that of full rims, whichever is less."""

    _gts: dict
    _dts: dict

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803
        ious = super().computeIoU(imgId, catId)
        objects = self._gts[imgId, catId]
        detections = sorted(self._dts[imgId, catId], key=lambda d: -d["score"])[: self.params.maxDets[-1]]
        if not objects or not detections:
            return ious
        detected, annotated = (
            [
                coco_mask.encode(np.asfortranarray(boundary_reference(coco_mask.decode(x["segmentation"]) > 0)))
                for x in xs
            ]
            for xs in (detections, objects)
        )
        rims: Any = coco_mask.iou(detected, annotated, [0] * len(objects))  # pyright: ignore
        is_crowd = np.array([bool(o["iscrowd"]) for o in objects])
        return np.where(is_crowd, ious, np.minimum(ious, rims))


def reference(coco: COCO, detections: list[dict], kind: Kind, max_dets: list[int]) -> COCOeval:
    shapes = ("bbox",) if kind == "box" else ("segmentation",)
    keys = ("image_id", "category_id", "score", *shapes)
    results: Any = [{key: d[key] for key in keys} for d in detections]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = BoundaryEval if kind == "boundary" else COCOeval
        evaluation = evaluator(coco, coco.loadRes(results), "bbox" if kind == "box" else "segm")
        evaluation.params.maxDets = max_dets
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_equal_to_pycocotools(dataset: dict, rng: np.random.Generator) -> None:
    coco = coco_of(dataset)
    detections = detect(dataset, coco, rng)
    category_ids = sorted(category["id"] for category in dataset["categories"])
    truths = ground_truth(read_annotations(dataset), category_ids)
    images = {image["id"]: image for image in dataset["images"]}
    by_image: dict[int, list[dict]] = {truth.image_id: [] for truth in truths}
    for detection in detections:
        by_image[detection["image_id"]].append(detection)
    results = [instances_of(found, images[image_id], category_ids) for image_id, found in by_image.items()]
    for kind in KINDS:
        expected = reference(coco, detections, kind, [1, 10, 100])
        got = average_precision(truths, results, len(category_ids), kind, max_detections=100)
        twelve = [got.ap, got.ap50, got.ap75, got.small, got.medium, got.large, got.recall1, got.recall10]
        twelve += [got.recall, got.recall_small, got.recall_medium, got.recall_large]
        assert [-1 if value is None else value for value in twelve] == expected.stats.tolist(), "bit for bit"
        for label, ap in enumerate(got.per_class):
            precision = expected.eval["precision"][:, :, label, 0, -1]
            assert ap == (precision.mean() if precision.max() > -1 else None)
            sizes = [expected.eval["precision"][:, :, label, size, -1] for size in (1, 2, 3)]
            assert got.per_class_sizes[label] == tuple(p.mean() if p.max() > -1 else None for p in sizes)
            for curve, row in ((got.curves50[label], precision[0]), (got.curves75[label], precision[5])):
                assert (curve is None) == (row.max() == -1)
                assert curve is None or curve == pytest.approx(row.tolist(), abs=1e-4)
        # At another maxDets `summarize` gives -1 for AP, while `accumulate` has the right numbers.
        expected = reference(coco, detections, kind, [1, 2, 3])
        precision, recall = expected.eval["precision"][..., 0, -1], expected.eval["recall"][:, :, 0]  # all sizes
        got = average_precision(truths, results, len(category_ids), kind, max_detections=3)
        assert got.ap == precision[precision > -1].mean()
        of_one, of_three = recall[..., 0], recall[..., 2]
        assert got.recall1 == of_one[of_one > -1].mean()
        assert got.recall == got.recall10 == of_three[of_three > -1].mean()


@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert_equal_to_pycocotools(synthetic_dataset(rng), rng)


@pytest.mark.skipif(not COCO_SAMPLE.is_file(), reason=f"{COCO_SAMPLE} is not here")
def test_equals_pycocotools_on_photographs() -> None:
    dataset = json.loads(COCO_SAMPLE.read_bytes())
    crowded = {a["image_id"] for a in dataset["annotations"] if a["iscrowd"]}
    chosen = crowded | {image["id"] for image in dataset["images"][:8]}
    dataset["images"] = [image for image in dataset["images"] if image["id"] in chosen]
    dataset["annotations"] = [a for a in dataset["annotations"] if a["image_id"] in chosen]
    assert_equal_to_pycocotools(dataset, np.random.default_rng(0))


@pytest.mark.skipif(not NUCLEI.is_file(), reason=f"{NUCLEI} is not here")
def test_equals_pycocotools_on_nuclei() -> None:
    dataset = json.loads(NUCLEI.read_bytes())
    dataset["images"] = dataset["images"][:6]
    chosen = {image["id"] for image in dataset["images"]}
    dataset["annotations"] = [a for a in dataset["annotations"] if a["image_id"] in chosen]
    assert_equal_to_pycocotools(dataset, np.random.default_rng(0))


def test_of_mask_and_rim_the_worse_one_counts() -> None:
    # In 100 x 100 pixels a rim is 3 wide. The frame of a square of 20 has its rim, but 204 of its 400 pixels: IoU 0.51.
    square, frame = np.zeros((2, 100, 100), np.uint8)
    square[30:50, 30:50] = frame[30:50, 30:50] = 1
    frame[33:47, 33:47] = 0
    rles: list[Any] = [coco_mask.encode(np.asfortranarray(mask)) for mask in (square, frame)]
    image = {"id": 1, "height": 100, "width": 100}
    annotation = {"image_id": 1, "category_id": 3, "segmentation": rles[0], "bbox": [30, 30, 20, 20], "area": 400}
    truths = ground_truth(
        read_annotations({"images": [image], "annotations": [annotation], "categories": [{"id": 3, "name": "a"}]}), [3]
    )
    results = [instances_of([{**annotation, "segmentation": rles[1], "score": 0.9}], image, [3])]
    aps = [average_precision(truths, results, 1, kind, 100).ap for kind in KINDS]
    assert aps == pytest.approx([1.0, 0.1, 0.1])


def test_annotation_with_id_zero_counts() -> None:
    # pycocotools takes a match with annotation 0 for no match, and some files start there.
    dataset = synthetic_dataset(np.random.default_rng(0))
    dataset["annotations"] = [{**dataset["annotations"][0], "id": 0}]
    coco = coco_of(dataset)
    annotation: Any = dataset["annotations"][0]
    detection = {**annotation, "score": 0.9, "segmentation": coco.annToRLE(annotation)}
    found = {annotation["image_id"]: [detection]}
    assert reference(coco, [detection], "mask", [1, 10, 100]).stats[0] == 0
    results = [instances_of(found.get(image["id"], []), image, [3, 7, 9]) for image in dataset["images"]]
    for kind in KINDS:
        assert average_precision(
            ground_truth(read_annotations(dataset), [3, 7, 9]), results, 3, kind, 100
        ).ap == pytest.approx(1.0)


def test_no_detections_and_no_images() -> None:
    dataset = synthetic_dataset(np.random.default_rng(0))
    empty = [instances_of([], image, [3, 7, 9]) for image in dataset["images"]]
    for kind in KINDS:
        nothing_found = average_precision(ground_truth(read_annotations(dataset), [3, 7, 9]), empty, 3, kind, 100)
        assert nothing_found.ap == 0.0
        assert nothing_found.per_class == (0.0, 0.0, None)
        assert average_precision([], [], 3, kind, 100).ap is None
