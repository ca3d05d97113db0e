"""Results of a whole data set judged against its annotations: COCO AP, mask scores and counts (K classes)."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from maskrcnn.report.average_precision import AveragePrecision, average_precision
from maskrcnn.report.ground_truth import GroundTruth, ground_truth, read_annotations
from maskrcnn.report.mask_matches import Tally, match_masks
from maskrcnn.report.scores import (
    SCORE_THRESHOLDS,
    CountError,
    SetScore,
    ThresholdSweep,
    image_mask_scores,
    score_set,
    sweep_thresholds,
)
from maskrcnn.structures.instances import Instances


@dataclass(frozen=True)
class ImageScore:
    """One image at the score threshold; `true` and `predicted` hold a number for each class."""

    image_id: int
    file_name: str
    group: str | None
    true: tuple[int, ...]
    predicted: tuple[int, ...]
    mask_score: float

    @property
    def count_error(self) -> int:
        """Sum over classes of |predicted - true|."""
        return sum(abs(p - t) for p, t in zip(self.predicted, self.true, strict=True))


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. AP uses results of every score, the rest those from `score_threshold` on."""

    class_names: tuple[str, ...]
    score_threshold: float
    box: AveragePrecision
    mask: AveragePrecision
    overall: SetScore
    groups: dict[str, SetScore]
    images: tuple[ImageScore, ...]
    unknown_categories: tuple[str, ...]
    """Annotated categories that the model has no class for; their objects were left out."""

    def worst_images(self, n: int, label: int | None = None) -> tuple[ImageScore, ...]:
        """The `n` images with the largest count error, of one class or summed over all; of equals, the worse masks."""

        def badness(image: ImageScore) -> tuple[float, float]:
            error = image.count_error if label is None else abs(image.predicted[label] - image.true[label])
            return -error, image.mask_score

        return tuple(sorted(self.images, key=badness)[:n])

    def summary(self) -> dict[str, float | None]:
        """The headline numbers, flat: one row of a training log."""
        return {
            "box_ap": self.box.ap,
            "box_ap50": self.box.ap50,
            "mask_ap": self.mask.ap,
            "mask_ap50": self.mask.ap50,
            "mask_score": self.overall.mask_score.image_mean,
            "mask_score_pooled": self.overall.mask_score.pooled,
            "count_mae": self.overall.count.mae,
            "count_total_relative_error": self.overall.count.total_relative_error,
        }

    def to_dict(self) -> dict:
        """Only what JSON knows; None stays for what has no value."""
        return dataclasses.asdict(self)

    def table(self, num_worst: int = 5) -> str:
        """Plain text for a terminal; names the `num_worst` images with the largest count error."""
        return "\n\n".join([_ap_table(self), _class_table(self), _score_table(self), _sweep_lines(self, num_worst)])


def evaluate(
    results: Mapping[int, Instances],
    annotations: str | Path | COCO,
    category_ids: Sequence[int],
    max_detections: int,
    score_threshold: float,
    image_ids: Iterable[int] | None = None,
    groups: Mapping[int, str] | None = None,
    group_key: str | None = None,
) -> Evaluation:
    """Judges `results`, by image id, with every detection down to a low score (0.05 or less: AP needs them).

    `category_ids` is the COCO category id of each label. `max_detections` is COCO's maxDets for AP: per class and
    image. Mask scores and counts use the detections with score >= `score_threshold`. `image_ids` None means all images
    of the annotations. Images may be put into groups, which are scored again one by one: by `groups`, or by the value
    that the image records of the annotations have under `group_key`.

    Raises:
        ValueError: for images without a result, results that don't fit the annotations, or unusable annotations.
    """
    if groups is not None and group_key is not None:
        raise ValueError("expected `groups` or `group_key`, got both")
    dataset = read_annotations(annotations)
    truths = ground_truth(dataset, category_ids, image_ids)
    instances = _results_in_order(results, truths, category_ids)
    if group_key is not None:
        groups = _groups_of_records(dataset, group_key)
    num_classes = len(category_ids)
    matches = match_masks(truths, instances, num_classes)
    images = _image_scores(truths, matches.tally(score_threshold), groups or {})
    group_of = np.array([image.group for image in images], object)
    return Evaluation(
        class_names=_class_names(dataset, instances, category_ids),
        score_threshold=score_threshold,
        box=average_precision(truths, instances, num_classes, "box", max_detections),
        mask=average_precision(truths, instances, num_classes, "mask", max_detections),
        overall=score_set(matches, score_threshold),
        groups={
            name: score_set(matches.of_images(group_of == name), score_threshold)
            for name in sorted({image.group for image in images if image.group is not None})
        },
        images=images,
        unknown_categories=_unknown_categories(dataset, truths, category_ids),
    )


def sweep_score_thresholds(
    results: Mapping[int, Instances],
    annotations: str | Path | COCO,
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


def _groups_of_records(dataset: dict, key: str) -> dict[int, str]:
    groups = {record["id"]: str(record[key]) for record in dataset["images"] if key in record}
    if not groups:
        raise ValueError(f"no image record of the annotations has the key {key!r}")
    return groups


def _class_names(dataset: dict, instances: Sequence[Instances], category_ids: Sequence[int]) -> tuple[str, ...]:
    if instances:
        return instances[0].class_names
    names = {category["id"]: str(category["name"]) for category in dataset["categories"]}
    return tuple(names.get(category_id, str(category_id)) for category_id in category_ids)


def _unknown_categories(dataset: dict, truths: Sequence[GroundTruth], category_ids: Sequence[int]) -> tuple[str, ...]:
    names = {category["id"]: str(category["name"]) for category in dataset["categories"]}
    image_ids = {truth.image_id for truth in truths}
    annotated = {a["category_id"] for a in dataset["annotations"] if a["image_id"] in image_ids}
    return tuple(names.get(category_id, str(category_id)) for category_id in sorted(annotated - set(category_ids)))


def _image_scores(truths: Sequence[GroundTruth], tally: Tally, groups: Mapping[int, str]) -> tuple[ImageScore, ...]:
    mask_scores = image_mask_scores(tally).mean(axis=0)
    return tuple(
        ImageScore(
            image_id=truth.image_id,
            file_name=truth.file_name,
            group=groups.get(truth.image_id),
            true=tuple(true.tolist()),
            predicted=tuple(predicted.tolist()),
            mask_score=float(score),
        )
        for truth, true, predicted, score in zip(truths, tally.true, tally.predicted, mask_scores, strict=True)
    )


def _text(value: float | None, spec: str = ".3f") -> str:
    return "-" if value is None else format(value, spec)


def _grid(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first flush left."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _ap_table(evaluation: Evaluation) -> str:
    rows = [["AP", "IoU .50:.95", ".50", ".75", "small", "medium", "large", "recall"]]
    for name, ap in (("box", evaluation.box), ("mask", evaluation.mask)):
        values = (ap.ap, ap.ap50, ap.ap75, ap.small, ap.medium, ap.large, ap.recall)
        rows.append([name, *(_text(value) for value in values)])
    overall = evaluation.overall
    title = (
        f"{overall.num_images} images, {overall.count.total_true} objects; "
        f"AP of at most {evaluation.box.max_detections} detections of a class in an image"
    )
    if evaluation.unknown_categories:
        title += f"\nnot evaluated, the model has no such class: {', '.join(evaluation.unknown_categories)}"
    return f"{title}\n{_grid(rows)}"


def _class_table(evaluation: Evaluation) -> str:
    rows = [["class", "box AP", "mask AP", *_COUNT_HEADER]]
    counts = evaluation.overall.class_counts
    for label, (name, count) in enumerate(zip(evaluation.class_names, counts, strict=True)):
        aps = evaluation.box.per_class[label], evaluation.mask.per_class[label]
        rows.append([name, *(_text(ap) for ap in aps), *_count_cells(count)])
    return f"counts at score >= {evaluation.score_threshold:g} (- where a class has no object)\n{_grid(rows)}"


_COUNT_HEADER = ["true", "predicted", "MAE", "RMSE", "bias", "total error"]


def _count_cells(count: CountError) -> list[str]:
    return [
        str(count.total_true),
        str(count.total_predicted),
        f"{count.mae:.2f}",
        f"{count.rmse:.2f}",
        f"{count.bias:+.2f}",
        _text(count.total_relative_error, ".1%"),
    ]


def _score_table(evaluation: Evaluation) -> str:
    rows = [["set", "images", "image mean", "pooled", "at .50: image mean", "pooled", *_COUNT_HEADER]]
    for name, score in {"all": evaluation.overall, **evaluation.groups}.items():
        masks = score.mask_score
        values = (masks.image_mean, masks.pooled, masks.image_mean_at[0], masks.pooled_at[0])
        rows.append([name, str(score.num_images), *(f"{value:.3f}" for value in values), *_count_cells(score.count)])
    title = f"mask score TP/(TP+FP+FN), mean over IoU .50:.90, at score >= {evaluation.score_threshold:g}"
    return f"{title}\n{_grid(rows)}"


def _sweep_lines(evaluation: Evaluation, num_worst: int) -> str:
    lines = []
    for name, score in {"all": evaluation.overall, **evaluation.groups}.items():
        count, masks = score.sweep.best_count, score.sweep.best_mask_score
        lines.append(
            f"{name}: counts are best at score >= {count.score_threshold:.2f} (MAE {count.mae:.2f}), "
            f"masks at score >= {masks.score_threshold:.2f} ({masks.image_mean50:.3f} at IoU .50, image mean)"
        )
    worst = [image for image in evaluation.worst_images(max(0, num_worst)) if image.count_error]
    lines += [
        f"worst count: {image.file_name}, {sum(image.predicted)} predicted, {sum(image.true)} true, "
        f"mask score {image.mask_score:.3f}"
        for image in worst
    ]
    return "\n".join(lines)
