"""COCO average precision of boxes, masks and boundaries.

D detections and G objects in an image, T IoU thresholds, K classes.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn.evaluation.boundary import boundary_ious
from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.structures.instances import Instances

Kind = Literal["box", "mask", "boundary"]
"""What is compared. The IoU of boundaries is that of the masks or that of their rims, whichever is less."""


@dataclass(frozen=True)
class AveragePrecision:
    """Every number is in 0..1, or None where there is no object to find. Classes without objects are not averaged.

    Twelve of them are those that COCO prints: six AP and six AR (average recall), over IoU 0.50:0.05:0.95. Small is
    below 32 x 32 pixels, large from 96 x 96. `max_detections` is COCO's maxDets, for each class in each image.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
    recall1: float | None
    """AR of the surest detection of a class in an image."""
    recall10: float | None
    """AR of the surest 10, or of `max_detections` where that is less."""
    recall: float | None
    """AR of `max_detections`, as the AP and the three that follow."""
    recall_small: float | None
    recall_medium: float | None
    recall_large: float | None
    per_class: tuple[float | None, ...]
    per_class50: tuple[float | None, ...]
    per_class_sizes: tuple[tuple[float | None, float | None, float | None], ...]
    """Small, medium and large of each class."""
    curves50: tuple[tuple[float, ...] | None, ...]
    """Of each class the precision at an IoU of 0.50 and a recall of 0, 0.01, ... 1; the best at that recall or more."""
    curves75: tuple[tuple[float, ...] | None, ...]
    """The same at an IoU of 0.75."""
    max_detections: int


def average_precision(
    truths: Sequence[GroundTruth],
    results: Sequence[Instances],
    num_classes: int,
    kind: Kind,
    max_detections: int,
) -> AveragePrecision:
    """AP of `results`, image for image with `truths`; `max_detections` is COCO's maxDets: of a class, of an image.

    Paper: Boundary AP, arXiv:2103.16562.
    """
    objects, detections = [], []
    for image_id, (truth, instances) in enumerate(zip(truths, results, strict=True)):
        objects += _objects(image_id, truth)
        detections += _detections(image_id, instances, kind)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = (_BoundaryCOCOeval if kind == "boundary" else _SparseCOCOeval)(
            iouType="bbox" if kind == "box" else "segm"
        )
        evaluation.cocoGt, evaluation.cocoDt = _coco(truths, objects), _coco(truths, detections)
        parameters = evaluation.params
        parameters.imgIds = list(range(len(truths)))
        parameters.catIds = list(range(num_classes))
        parameters.maxDets = [min(1, max_detections), min(10, max_detections), max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 2]  # (T, 101 recalls, K, 4 area ranges), -1 where nothing is to find
    recall = evaluation.eval["recall"]  # (T, K, 4, 3 of 1, 10 and `max_detections`)
    thresholds = np.asarray(parameters.iouThrs)
    at50, at75 = (int(np.argmin(abs(thresholds - t))) for t in (0.5, 0.75))
    return AveragePrecision(
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[at50, ..., 0]),
        ap75=_mean(precision[at75, ..., 0]),
        small=_mean(precision[..., 1]),
        medium=_mean(precision[..., 2]),
        large=_mean(precision[..., 3]),
        recall1=_mean(recall[..., 0, 0]),
        recall10=_mean(recall[..., 0, 1]),
        recall=_mean(recall[..., 0, 2]),
        recall_small=_mean(recall[..., 1, 2]),
        recall_medium=_mean(recall[..., 2, 2]),
        recall_large=_mean(recall[..., 3, 2]),
        per_class=tuple(_mean(precision[:, :, label, 0]) for label in range(num_classes)),
        per_class50=tuple(_mean(precision[at50, :, label, 0]) for label in range(num_classes)),
        per_class_sizes=tuple(
            (_mean(precision[:, :, label, 1]), _mean(precision[:, :, label, 2]), _mean(precision[:, :, label, 3]))
            for label in range(num_classes)
        ),
        curves50=tuple(_curve(precision[at50, :, label, 0]) for label in range(num_classes)),
        curves75=tuple(_curve(precision[at75, :, label, 0]) for label in range(num_classes)),
        max_detections=max_detections,
    )


def _objects(image_id: int, truth: GroundTruth) -> list[dict]:
    return [
        {
            "image_id": image_id,
            "category_id": int(label),
            "segmentation": rle,
            "bbox": box.tolist(),
            "area": float(area),
            "iscrowd": int(is_crowd),
        }
        for label, rle, box, area, is_crowd in zip(
            truth.labels, truth.rles, truth.boxes_xywh, truth.areas, truth.is_crowd, strict=True
        )
    ]


def _detections(image_id: int, instances: Instances, kind: Kind) -> list[dict]:
    labels, scores = instances.labels.tolist(), instances.scores.tolist()
    if kind != "box":
        # One by one: given a list of more than 255, pycocotools 2.0.11 raises OverflowError.
        rles: list[Any] = instances.rles()
        shapes: list[dict] = [{"segmentation": rle, "area": float(coco_mask.area(rle))} for rle in rles]
    else:
        boxes = instances.boxes.cpu().numpy().astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        shapes = [{"bbox": [x, y, w, h], "area": w * h} for x, y, w, h in boxes.tolist()]
    return [
        {"image_id": image_id, "category_id": label, "score": score, **shape}
        for label, score, shape in zip(labels, scores, shapes, strict=True)
    ]


def _coco(truths: Sequence[GroundTruth], annotations: list[dict]) -> COCO:
    """An index for COCOeval; `loadRes`, the usual way, fails without detections."""
    dataset: Any = {
        "images": [{"id": i, "height": t.image_size[0], "width": t.image_size[1]} for i, t in enumerate(truths)],
        # From 1: COCOeval takes a match with the annotation of id 0 for no match.
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _mean(values: np.ndarray) -> float | None:
    """The mean of what COCOeval filled in; -1 marks the rest."""
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def _curve(precision: np.ndarray) -> tuple[float, ...] | None:
    """Rounded to what a picture or a table can show, since there are 101 for each class."""
    return tuple(np.round(precision, 4).tolist()) if precision.max() > -1 else None


class _SparseCOCOeval(COCOeval):
    """COCOeval that looks only at the pairs that overlap enough: the original tries all D x G x T of them in Python,
    seconds for an image with hundreds of objects. The matches are the same."""

    _gts: dict[tuple[int, int], list[dict]]
    _dts: dict[tuple[int, int], list[dict]]

    def evaluateImg(self, imgId: int, catId: int, aRng: Sequence[float], maxDet: int) -> Any:  # noqa: N802, N803
        objects, detections = self._gts[imgId, catId], self._dts[imgId, catId]
        if not objects and not detections:
            return None
        thresholds = np.asarray(self.params.iouThrs)
        is_ignored = np.array([o["ignore"] or not aRng[0] <= o["area"] <= aRng[1] for o in objects], bool)
        order = np.argsort(is_ignored, kind="stable")  # objects that count come first: they are matched first
        is_ignored = is_ignored[order]
        is_crowd = np.array([o["iscrowd"] for o in objects], bool)[order]
        detections = [detections[i] for i in np.argsort([-d["score"] for d in detections], kind="stable")[:maxDet]]

        object_is_taken = np.zeros((len(thresholds), len(objects)), bool)
        is_matched = np.zeros((len(thresholds), len(detections)), bool)
        is_excused = np.zeros((len(thresholds), len(detections)), bool)
        if objects and detections:
            ious = np.asarray(self.ious[imgId, catId])[:, order]  # (D, G)
            close = ious >= thresholds.min()
            for d in np.flatnonzero(close.any(axis=1)):
                candidates = np.flatnonzero(close[d])
                for t, threshold in enumerate(thresholds):
                    best, best_iou = -1, min(threshold, 1 - 1e-10)
                    for g in candidates:
                        if object_is_taken[t, g] and not is_crowd[g]:
                            continue
                        if best >= 0 and not is_ignored[best] and is_ignored[g]:
                            break
                        if ious[d, g] >= best_iou:
                            best, best_iou = g, ious[d, g]
                    if best >= 0:
                        is_matched[t, d] = object_is_taken[t, best] = True
                        is_excused[t, d] = is_ignored[best]
        is_outside = np.array([not aRng[0] <= d["area"] <= aRng[1] for d in detections], bool)
        return {
            "dtMatches": is_matched,
            "dtIgnore": is_excused | (~is_matched & is_outside),
            "dtScores": [d["score"] for d in detections],
            "gtIgnore": is_ignored,
        }


class _BoundaryCOCOeval(_SparseCOCOeval):
    """Boundary AP: of mask and rim, the smaller IoU counts."""

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803
        ious = super().computeIoU(imgId, catId)
        objects, detections = self._gts[imgId, catId], self._dts[imgId, catId]
        if not objects or not detections:
            return ious
        order = np.argsort([-d["score"] for d in detections], kind="stable")  # as the rows of `ious` are
        # Where the masks alone do not overlap enough, no rim makes it a match. A crowd region has no rim of its own.
        is_open = ious >= min(self.params.iouThrs)
        is_open[:, [bool(o["iscrowd"]) for o in objects]] = False
        pairs = np.argwhere(is_open)
        masks = [detections[i]["segmentation"] for i in order]
        rims = boundary_ious(masks, [o["segmentation"] for o in objects], pairs)
        ious[is_open] = np.minimum(ious[is_open], rims)
        return ious
