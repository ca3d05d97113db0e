"""All that is known about results judged against annotations, as a value and as text for a terminal (K classes).

`evaluate` makes it, `page` shows it as HTML.
"""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn.evaluation.average_precision import AveragePrecision
from maskrcnn.evaluation.confusion import Confusion
from maskrcnn.evaluation.panoptic_quality import PanopticQuality
from maskrcnn.evaluation.panoptic_rows import HEADER, panoptic_rows
from maskrcnn.evaluation.score_calibration import ScoreReliability, calibration_line
from maskrcnn.evaluation.scores import CountError, SetScore
from maskrcnn.report.intervals import CountIntervals, Coverage
from maskrcnn.report.text import NO_VALUE, grid, shorten

WIDTH = 100
"""Columns of printed tables, as long as no count has more than seven digits."""
MAX_ROWS = 20
"""Classes or groups in one table; evaluation.json has all of them."""
MAX_CONFUSIONS = 3
NAME_LETTERS = 20

COUNT_HEADER = ["true", "predicted", "MAE", "RMSE", "bias", "total error"]


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
    count_coverage: Coverage | None
    """How well intervals of the count hold on these images; None where they are too few."""
    count_intervals: CountIntervals
    """Calibrated on these images, for counts at `score_threshold`."""
    tuned_intervals: CountIntervals
    """The same at the score threshold that counts best."""
    score_reliability: ScoreReliability
    """How far scores, of every height, can be taken for chances."""
    unknown_categories: tuple[str, ...]
    """Annotated categories that the model has no class for; their objects were left out."""
    seconds_per_image: float | None
    """As measured by the caller."""
    panoptic: PanopticQuality | None = None
    """Of the scenes; None where the model or the annotations know no stuff."""

    def worst_images(self, n: int, label: int | None = None) -> tuple[ImageScore, ...]:
        """The `n` images with the largest count error, of one class or summed over all; of equals, the worse masks."""

        def badness(image: ImageScore) -> tuple[float, float]:
            error = image.count_error if label is None else abs(image.predicted[label] - image.true[label])
            return -error, image.mask_score

        return tuple(sorted(self.images, key=badness)[:n])

    def summary(self) -> dict[str, float | None]:
        """The headline numbers, flat: one row of a training log."""
        scenes = self.panoptic
        of_scenes = {"pq": scenes.all.pq, "pq_things": scenes.things.pq, "pq_stuff": scenes.stuff.pq} if scenes else {}
        return of_scenes | {
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
        """Only what JSON knows; None stays for what has no value. Without the errors behind intervals of counts."""
        values = dataclasses.asdict(self)
        del values["count_intervals"], values["tuned_intervals"]
        return values

    def table(self, num_worst: int = 5) -> str:
        """Text for a terminal: AP, AR, mask scores, counts, and the `num_worst` images with the largest count error."""
        parts = [_precision_text(self), _mask_score_table(self), _count_table(self)]
        if len(self.class_names) > 1:
            parts.append(_class_table(self))
        if self.panoptic is not None:
            parts.append(_panoptic_table(self.panoptic))
        worth = "\n".join(textwrap.wrap(calibration_line(self.score_reliability), WIDTH))
        parts += [_error_lines(self), _advice_lines(self), worth, _worst_lines(self, num_worst)]
        return "\n\n".join(part for part in parts if part)


def evaluation_line(summary: Mapping[str, float | None]) -> str:
    """The most useful figures of `Evaluation.summary` in one line, with the loss on val if `val_loss` is among them."""

    def value(key: str, spec: str = ".3f") -> str:
        number = summary.get(key)
        return NO_VALUE if number is None else format(number, spec)

    parts = [
        f"AP mask {value('mask_ap')} (.50 {value('mask_ap50')}), box {value('box_ap')}, "
        f"boundary {value('boundary_ap')}",
        f"count MAE {value('count_mae', '.2f')}, total {value('count_total_relative_error', '.1%')} off",
    ]
    if summary.get("pq") is not None:
        parts.insert(0, f"PQ {value('pq')} (things {value('pq_things')}, stuff {value('pq_stuff')})")
    if summary.get("val_loss") is not None:
        parts.append(f"val loss {value('val_loss')}")
    return "; ".join(parts)


def percent(value: float | None) -> str:
    """A share with one decimal, or the sign for no value."""
    return NO_VALUE if value is None else f"{value:.1%}"


def ap_text(value: float | None) -> str:
    """AP, AR and mask scores have three decimals everywhere."""
    return NO_VALUE if value is None else f"{value:.3f}"


def count_cells(count: CountError) -> list[str]:
    """True and predicted numbers, MAE, RMSE, bias and the error of the total."""
    means = f"{count.mae:.2f}", f"{count.rmse:.2f}", f"{count.bias:+.2f}"
    return [str(count.total_true), str(count.total_predicted), *means, percent(count.total_relative_error)]


def coco_rows(evaluation: Evaluation) -> tuple[list[list[str]], list[list[str]]]:
    """The tables of AP and of AR with their headers: together what COCO prints, for boxes, masks and boundaries."""
    kinds = {"box": evaluation.box, "mask": evaluation.mask, "boundary": evaluation.boundary}
    sizes = ["small", "medium", "large"]
    precisions = [["AP", ".50:.95", ".50", ".75", *sizes]]
    recalls = [["AR", *(f"of {n}" for n in (1, 10, evaluation.box.max_detections)), *sizes]]
    for name, ap in kinds.items():
        precisions.append([name, *map(ap_text, (ap.ap, ap.ap50, ap.ap75, ap.small, ap.medium, ap.large))])
        recalls.append([name, *map(ap_text, _recalls(ap))])
    return precisions, recalls


def _recalls(ap: AveragePrecision) -> tuple[float | None, ...]:
    return ap.recall1, ap.recall10, ap.recall, ap.recall_small, ap.recall_medium, ap.recall_large


def confusions(confusion: Confusion, names: Sequence[str]) -> list[tuple[str, str, int]]:
    """(true class, predicted class, objects) of every pair of classes that were confused, the most frequent first."""
    counts = np.array(confusion.counts)
    np.fill_diagonal(counts, 0)
    pairs = sorted(np.argwhere(counts).tolist(), key=lambda pair: -counts[tuple(pair)])
    return [(names[t], names[p], int(counts[t, p])) for t, p in pairs]


def _precision_text(evaluation: Evaluation) -> str:
    overall = evaluation.overall
    lines = [
        f"{_number(overall.num_images, 'image')}, {_number(overall.count.total_true, 'object')}; "
        f"at most {evaluation.box.max_detections} detections of a class in an image"
    ]
    if evaluation.unknown_categories:
        names = ", ".join(shorten(name) for name in evaluation.unknown_categories[:MAX_ROWS])
        more = len(evaluation.unknown_categories) - MAX_ROWS
        lines.append(f"not evaluated, the model has no such class: {names}" + f" and {more} more" * (more > 0))
    precisions, recalls = coco_rows(evaluation)
    return "\n".join([*lines, grid([*precisions, [""] * 7, *recalls])])


def _mask_score_table(evaluation: Evaluation) -> str:
    rows = [["set", "images", "mean .50:.90", ".50", "pooled .50:.90", ".50"]]
    sets, left_out = _shown_sets(evaluation)
    for name, score in sets:
        masks = score.mask_score
        values = (masks.image_mean, masks.image_mean_at[0], masks.pooled, masks.pooled_at[0])
        rows.append([shorten(name, NAME_LETTERS), str(score.num_images), *map(ap_text, values)])
    title = (
        f"mask score TP / (TP + FP + FN) at score >= {evaluation.score_threshold:g}: mean over images, and all pooled"
    )
    return "\n".join([title, grid(rows), *left_out])


def interval_line(evaluation: Evaluation) -> str:
    """What intervals of the count are worth, in a sentence."""
    held = evaluation.count_coverage
    if held is None:
        return (
            f"count intervals: none, {_number(len(evaluation.images), 'image')} are too few to calibrate and test them"
        )
    return (
        f"count intervals at {held.level:.0%}: +- {held.half_width:.1f} objects on average; they hold for "
        f"{held.share:.1%} of images that they were not made from ({held.num_halves} random halves of "
        f"{held.num_images} images)"
    )


def _count_table(evaluation: Evaluation) -> str:
    rows = [["set", *COUNT_HEADER]]
    sets, left_out = _shown_sets(evaluation)
    rows += [[shorten(name, NAME_LETTERS), *count_cells(score.count)] for name, score in sets]
    title = f"counts at score >= {evaluation.score_threshold:g}"
    return "\n".join([title, grid(rows), *left_out, *textwrap.wrap(interval_line(evaluation), WIDTH)])


def _shown_sets(evaluation: Evaluation) -> tuple[list[tuple[str, SetScore]], list[str]]:
    """All images and the groups with the most of them, and a line on those left out."""
    groups = sorted(evaluation.groups.items(), key=lambda item: -item[1].num_images)[:MAX_ROWS]
    return [("all", evaluation.overall), *sorted(groups)], _left_out(len(evaluation.groups), "groups", "images")


def _class_table(evaluation: Evaluation) -> str:
    counts = evaluation.overall.class_counts
    labels = sorted(range(len(counts)), key=lambda label: -counts[label].total_true)[:MAX_ROWS]
    rows = [["class", "box AP", "mask AP", "boundary", *COUNT_HEADER]]
    for label in sorted(labels):
        aps = [ap.per_class[label] for ap in (evaluation.box, evaluation.mask, evaluation.boundary)]
        name = shorten(evaluation.class_names[label], NAME_LETTERS)
        rows.append([name, *map(ap_text, aps), *count_cells(counts[label])])
    return "\n".join([grid(rows), *_left_out(len(counts), "classes", "objects")])


def _panoptic_table(quality: PanopticQuality) -> str:
    rows = [[shorten(name, NAME_LETTERS), *values] for name, *values in panoptic_rows(quality)]
    more = len(rows) - MAX_ROWS
    left_out = [f"and {more} more classes; evaluation.json has all of them"] if more > 0 else []
    return "\n".join([grid([HEADER, *rows[:MAX_ROWS]]), *left_out])


def _left_out(number: int, noun: str, of_most: str) -> list[str]:
    if number <= MAX_ROWS:
        return []
    return [f"the {MAX_ROWS} of {number} {noun} with the most {of_most}; evaluation.json has all of them"]


def _error_lines(evaluation: Evaluation) -> str:
    confusion = evaluation.confusion
    pairs = confusions(confusion, evaluation.class_names)
    wrong = sum(number for _, _, number in pairs)
    words = {
        "missed": sum(confusion.missed),
        "spurious": sum(confusion.spurious),
        "double": sum(confusion.double),
        "merged": confusion.merged,
        "split": confusion.split,
        "of a wrong class": wrong,
    }
    if len(evaluation.class_names) == 1:
        del words["of a wrong class"]
    lines = [f"errors at mask IoU .50: {', '.join(f'{number} {word}' for word, number in words.items())}"]
    lines += [
        f"  {number} {shorten(true)} called {shorten(predicted)}" for true, predicted, number in pairs[:MAX_CONFUSIONS]
    ]
    more = sum(number for _, _, number in pairs[MAX_CONFUSIONS:])
    return "\n".join([*lines, *([f"  {more} other confusions"] if more else [])])


def _advice_lines(evaluation: Evaluation) -> str:
    lines = []
    for name, score in _shown_sets(evaluation)[0]:
        count, masks = score.sweep.best_count, score.sweep.best_mask_score
        lines.append(
            f"{shorten(name, NAME_LETTERS)}: counts are best at score >= {count.score_threshold:.2f} (MAE "
            f"{count.mae:.2f}), masks at {masks.score_threshold:.2f} ({masks.image_mean50:.3f} at IoU .50)"
        )
    return "\n".join(lines)


def _worst_lines(evaluation: Evaluation, num_worst: int) -> str:
    worst = [image for image in evaluation.worst_images(max(0, num_worst)) if image.count_error]
    return "\n".join(
        f"worst count: {image.file_name}, {sum(image.predicted)} predicted, {sum(image.true)} true, "
        f"mask score {image.mask_score:.3f}"
        for image in worst
    )


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
