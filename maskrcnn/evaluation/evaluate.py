"""Results of a whole data set judged against its annotations: COCO AP, mask scores, errors and counts (K classes)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from maskrcnn.data.annotations import Annotations
from maskrcnn.evaluation.average_precision import average_precision
from maskrcnn.evaluation.confusion import confusion
from maskrcnn.evaluation.evaluation import Evaluation, ImageScore
from maskrcnn.evaluation.ground_truth import GroundTruth, ground_truth, read_annotations
from maskrcnn.evaluation.mask_matches import Tally, match_masks
from maskrcnn.evaluation.object_errors import ObjectErrors, object_errors
from maskrcnn.evaluation.panoptic_quality import PanopticQuality
from maskrcnn.evaluation.score_calibration import score_reliability
from maskrcnn.evaluation.scores import SCORE_THRESHOLDS, ThresholdSweep, image_mask_scores, score_set, sweep_thresholds
from maskrcnn.report.intervals import CountIntervals, Coverage, coverage, spreads
from maskrcnn.structures.instances import Instances


def evaluate(
    results: Mapping[int, Instances],
    annotations: str | Path | COCO | Mapping[str, Any] | Annotations,
    category_ids: Sequence[int],
    max_detections: int,
    score_threshold: float,
    image_ids: Iterable[int] | None = None,
    groups: Mapping[int, str] | None = None,
    group_key: str | None = None,
    seconds_per_image: float | None = None,
    panoptic: PanopticQuality | None = None,
) -> Evaluation:
    """Judges `results`, by image id, with every detection down to a low score (0.05 or less: AP needs them).

    `category_ids` is the COCO category id of each label. `max_detections` is COCO's maxDets for AP: per class and
    image. Mask scores, errors and counts use the detections with score >= `score_threshold`. `image_ids` None means all
    images of the annotations. Images may be put into groups, which are scored again one by one: by `groups`, or by the
    value that the image records of the annotations have under `group_key`. `seconds_per_image` and `panoptic` are
    only passed on.

    Raises:
        ValueError: for images without a result, results that don't fit the annotations, or unusable annotations.
    """
    if groups is not None and group_key is not None:
        raise ValueError("expected `groups` or `group_key`, got both")
    table = read_annotations(annotations)
    truths = ground_truth(table, category_ids, image_ids)
    instances = _results_in_order(results, truths, category_ids)
    if group_key is not None:
        groups = _groups_of_records(table, group_key)
    num_classes = len(category_ids)
    matches = match_masks(truths, instances, num_classes)
    errors = [
        object_errors(truth, above(result, score_threshold)) for truth, result in zip(truths, instances, strict=True)
    ]
    images = _image_scores(truths, matches.tally(score_threshold), errors, groups or {})
    group_of = np.array([image.group for image in images], object)
    overall = score_set(matches, score_threshold)
    best = overall.sweep.best_count.score_threshold
    names = _class_names(table, instances, category_ids)
    intervals, held = _count_intervals(names, matches.num_true, instances, score_threshold)
    tuned_intervals, _ = _count_intervals(names, matches.num_true, instances, best)
    return Evaluation(
        class_names=names,
        score_threshold=score_threshold,
        box=average_precision(truths, instances, num_classes, "box", max_detections),
        mask=average_precision(truths, instances, num_classes, "mask", max_detections),
        boundary=average_precision(truths, instances, num_classes, "boundary", max_detections),
        overall=overall,
        confusion=confusion(errors, num_classes),
        groups={
            name: score_set(matches.of_images(group_of == name), score_threshold)
            for name in sorted({image.group for image in images if image.group is not None})
        },
        images=images,
        count_coverage=held,
        count_intervals=intervals,
        tuned_intervals=tuned_intervals,
        score_reliability=score_reliability(matches),
        unknown_categories=_unknown_categories(table, truths, category_ids),
        seconds_per_image=seconds_per_image,
        panoptic=panoptic,
    )


def best_threshold(evaluation: Evaluation) -> float:
    """The score threshold, in steps of 0.01, with the lowest count error on the images of `evaluation`."""
    return evaluation.overall.sweep.best_count.score_threshold


def threshold_note(evaluation: Evaluation, chosen_on: str, was: float) -> dict[str, Any]:
    """What a card says of a threshold that `best_threshold` chose: on which data, and the count errors there."""
    best = evaluation.overall.sweep.best_count
    return {
        "score_threshold": {
            "value": best.score_threshold,
            "was": was,
            "chosen_on": chosen_on,
            "num_images": evaluation.overall.num_images,
            "count_mae": best.mae,
        },
        "count_intervals": evaluation.tuned_intervals.to_dict() | {"calibrated_on": chosen_on},
        **calibration_note(evaluation, chosen_on),
    }


def calibration_note(evaluation: Evaluation, calibrated_on: str) -> dict[str, Any]:
    """What a card says of scores as chances; an entry without a value where too few were there to tell."""
    calibration = evaluation.score_reliability.calibration
    of_scores = calibration.to_dict() | {"calibrated_on": calibrated_on} if calibration is not None else None
    return {"score_calibration": of_scores}  # in place of one that the weights had before


def above(instances: Instances, score_threshold: float) -> Instances:
    """Those that the evaluation counts: with a score of the threshold or more, in the precision of the scores."""
    return instances[instances.scores >= np.float32(score_threshold).item()]


def sweep_score_thresholds(
    results: Mapping[int, Instances],
    annotations: str | Path | COCO | Mapping[str, Any] | Annotations,
    category_ids: Sequence[int],
    image_ids: Iterable[int] | None = None,
    score_thresholds: Sequence[float] = SCORE_THRESHOLDS,
) -> ThresholdSweep:
    """Counts and mask scores at every one of `score_thresholds`, to choose one by `best_count` or `best_mask_score`.

    The arguments are those of `evaluate`, and so are the errors.
    """
    truths = ground_truth(read_annotations(annotations), category_ids, image_ids)
    instances = _results_in_order(results, truths, category_ids)
    return sweep_thresholds(match_masks(truths, instances, len(category_ids)), score_thresholds)


def _count_intervals(
    names: Sequence[str], true: np.ndarray, results: Sequence[Instances], score_threshold: float
) -> tuple[CountIntervals, Coverage | None]:
    """How far counts at `score_threshold` are off; `true` (I, K).

    A prediction inside a crowd region counts: nobody knows the crowds of a new picture.
    """
    predicted, widths = np.zeros_like(true), np.ones((len(true), len(names) + 1))
    for i, one in enumerate(results):
        counted = above(one, score_threshold)
        labels = counted.labels.cpu().numpy()
        predicted[i] = np.bincount(labels, minlength=len(names))
        widths[i] = spreads(labels, counted.scores.cpu().numpy(), len(names))
    intervals = CountIntervals.fit(names, score_threshold, true, predicted, widths)
    return intervals, coverage(true.sum(axis=1), predicted.sum(axis=1), widths[:, -1])


def _results_in_order(
    results: Mapping[int, Instances], truths: Sequence[GroundTruth], category_ids: Sequence[int]
) -> list[Instances]:
    """One result per image of `truths`, checked to speak of the same image size and number of classes."""
    missing = [truth for truth in truths if truth.image_id not in results]
    if missing:
        raise ValueError(
            f"expected a result for each of {len(truths)} images, {len(missing)} have none, first "
            f"{missing[0].file_name!r} (id {missing[0].image_id}); `image_ids` chooses fewer images"
        )
    for truth in truths:
        instances = results[truth.image_id]
        if instances.image_size != truth.image_size:
            raise ValueError(
                f"{truth.file_name!r} (id {truth.image_id}): the result is for an image of {instances.image_size} "
                f"(height, width), the annotations say {truth.image_size}"
            )
        if len(instances.class_names) != len(category_ids):
            raise ValueError(
                f"{truth.file_name!r} (id {truth.image_id}): expected a category id for each of the "
                f"{len(instances.class_names)} classes of the result, got {len(category_ids)}"
            )
    return [results[truth.image_id] for truth in truths]


def _groups_of_records(table: Annotations, key: str) -> dict[int, str]:
    groups = {record["id"]: str(record[key]) for record in table.coco["images"] if key in record}
    if not groups:
        raise ValueError(f"no image record of the annotations has the key {key!r}")
    return groups


def _class_names(table: Annotations, instances: Sequence[Instances], category_ids: Sequence[int]) -> tuple[str, ...]:
    if instances:
        return instances[0].class_names
    names = dict(zip(table.category_ids, table.class_names, strict=True))
    return tuple(names.get(category_id, str(category_id)) for category_id in category_ids)


def _unknown_categories(
    table: Annotations, truths: Sequence[GroundTruth], category_ids: Sequence[int]
) -> tuple[str, ...]:
    image_ids = np.array(table.image_ids, np.int64)
    is_judged = np.isin(image_ids, [truth.image_id for truth in truths])
    labels = np.unique(table.labels[table.is_usable & np.append(is_judged, False)[table.image]]).tolist()
    return tuple(table.class_names[label] for label in labels if table.category_ids[label] not in category_ids)


def _image_scores(
    truths: Sequence[GroundTruth], tally: Tally, errors: Sequence[ObjectErrors], groups: Mapping[int, str]
) -> tuple[ImageScore, ...]:
    mask_scores = image_mask_scores(tally).mean(axis=0)
    return tuple(
        ImageScore(
            image_id=truth.image_id,
            file_name=truth.file_name,
            group=groups.get(truth.image_id),
            true=tuple(tally.true[i].tolist()),
            predicted=tuple(tally.predicted[i].tolist()),
            mask_score=float(mask_scores[i]),
            missed=int(errors[i].is_missed.sum()),
            spurious=int(errors[i].is_spurious.sum()),
            double=int((errors[i].double_of >= 0).sum()),
            merged=int(errors[i].is_merged.sum()),
            split=int(errors[i].is_split.sum()),
        )
        for i, truth in enumerate(truths)
    )
