"""All that is known about results judged against annotations: a value to print, to write and to show (K classes)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from maskrcnn.evaluation.average_precision import AveragePrecision
from maskrcnn.evaluation.confusion import Confusion
from maskrcnn.evaluation.scores import CountError, SetScore


@dataclass(frozen=True)
class ImageScore:
    """One image at the score threshold; `true` and `predicted` hold a number for each class."""

    image_id: int
    file_name: str
    group: str | None
    true: tuple[int, ...]
    predicted: tuple[int, ...]
    mask_score: float
    missed: int
    """Objects that no prediction found; this and what follows does not ask for the class."""
    spurious: int
    double: int
    merged: int
    split: int
    """See `ObjectErrors`."""

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
    boundary: AveragePrecision
    overall: SetScore
    confusion: Confusion
    groups: dict[str, SetScore]
    images: tuple[ImageScore, ...]
    unknown_categories: tuple[str, ...]
    """Annotated categories that the model has no class for; their objects were left out."""
    seconds_per_image: float | None
    """As measured by the caller."""

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
            "boundary_ap": self.boundary.ap,
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
        parts = (
            _ap_table(self),
            _class_table(self),
            _score_table(self),
            _error_line(self),
            _sweep_lines(self, num_worst),
        )
        return "\n\n".join(parts)


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
    for name, ap in (("box", evaluation.box), ("mask", evaluation.mask), ("boundary", evaluation.boundary)):
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
    rows = [["class", "box AP", "mask AP", "boundary AP", *_COUNT_HEADER]]
    counts = evaluation.overall.class_counts
    for label, (name, count) in enumerate(zip(evaluation.class_names, counts, strict=True)):
        aps = [ap.per_class[label] for ap in (evaluation.box, evaluation.mask, evaluation.boundary)]
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


def _error_line(evaluation: Evaluation) -> str:
    confusion = evaluation.confusion
    wrong = sum(map(sum, confusion.counts)) - sum(row[k] for k, row in enumerate(confusion.counts))
    words = {
        "missed": sum(confusion.missed),
        "spurious": sum(confusion.spurious),
        "double": sum(confusion.double),
        "of a wrong class": wrong,
        "merged into one": confusion.merged,
        "split": confusion.split,
    }
    if len(evaluation.class_names) == 1:
        del words["of a wrong class"]
    return f"objects at IoU .50 of masks: {', '.join(f'{number} {word}' for word, number in words.items())}"


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
