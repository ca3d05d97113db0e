"""The page that shows an evaluation: tables, curves, counts and the worst images, in one HTML file (K classes)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.evaluation.confusion import Confusion
from maskrcnn.evaluation.count_plots import MAX_COLORS, plot_counts
from maskrcnn.evaluation.errors_drawn import LEGEND, draw_errors, error_counts
from maskrcnn.evaluation.evaluate import above
from maskrcnn.evaluation.evaluation import COUNT_HEADER, Evaluation, ap_text, coco_rows, confusions, count_cells
from maskrcnn.evaluation.ground_truth import ground_truth
from maskrcnn.evaluation.object_errors import object_errors
from maskrcnn.evaluation.panoptic_quality import PanopticQuality
from maskrcnn.evaluation.panoptic_rows import HEADER, panoptic_rows
from maskrcnn.evaluation.precision_recall import plot_precision_recall
from maskrcnn.evaluation.score_calibration import calibration_line, plot_reliability
from maskrcnn.files import atomic_path
from maskrcnn.report.html import page, paragraph, picture, plot, table
from maskrcnn.report.text import shorten
from maskrcnn.report.written import write_json
from maskrcnn.structures.instances import Instances

MAX_MATRIX = 10
"""Classes that a confusion matrix is shown of; of more, only the frequent confusions are."""
MAX_CONFUSIONS = 30
NAME_LETTERS = 24
"""Of a class or a group; evaluation.json has the whole name."""


def evaluation_page(evaluation: Evaluation, title: str, pictures: Sequence[tuple[np.ndarray, str]] = ()) -> str:
    """HTML of the whole evaluation; `pictures`, RGB uint8 with their captions, are those of its worst images."""
    evaluation = replace(
        evaluation,
        class_names=_short_names(evaluation.class_names),
        unknown_categories=_short_names(evaluation.unknown_categories),
    )
    sections = [
        ("Average precision", _precision_section(evaluation)),
        ("Errors", _error_section(evaluation)),
        ("Counts", _count_section(evaluation)),
        ("Scores", _score_section(evaluation)),
    ]
    if evaluation.panoptic is not None:
        sections.insert(0, ("Panoptic quality", _panoptic_section(evaluation.panoptic)))
    if evaluation.groups:
        sections.append(("Groups of images", _group_section(evaluation)))
    if pictures:
        shown = [picture(image, caption) for image, caption in pictures]
        sections.append(("Images with the largest errors", "\n".join([paragraph(LEGEND), *shown])))
    return page(title, sections)


def _panoptic_section(quality: PanopticQuality) -> str:
    note = (
        f"Of the scenes of {quality.num_images} images, by COCO's rules: PQ is SQ, the mean IoU of the segments that "
        "were found, times RQ, their F score at IoU .50 (arXiv:1801.00868). Means are over the classes that are there "
        "or were found; the others have no row."
    )
    rows = [[shorten(name, NAME_LETTERS), *values] for name, *values in panoptic_rows(quality)]
    return "\n".join([table(HEADER, rows), paragraph(note)])


def _short_names(names: Sequence[str]) -> tuple[str, ...]:
    """`names` of at most `NAME_LETTERS`, with their number where the letters alone would be those of another."""
    short = [shorten(name, NAME_LETTERS) for name in names]
    return tuple(name if short.count(name) == 1 else f"{name} ({k})" for k, name in enumerate(short))


def _precision_section(evaluation: Evaluation) -> str:
    kinds = {"box": evaluation.box, "mask": evaluation.mask, "boundary": evaluation.boundary}
    facts = [f"{evaluation.overall.num_images} images, {evaluation.overall.count.total_true} objects"]
    if evaluation.seconds_per_image is not None:
        facts.append(f"{evaluation.seconds_per_image:.2f} s an image, reading it included")
    facts.append(f"at most {evaluation.box.max_detections} detections of a class in an image")
    if evaluation.unknown_categories:
        names = ", ".join(evaluation.unknown_categories)
        facts.append(f"not evaluated, since the model has no such class: {names}")
    parts = [paragraph("; ".join(facts) + "."), *(table(header, rows) for header, *rows in coco_rows(evaluation))]
    if len(evaluation.class_names) > 1:
        names = [f"{kind} AP" for kind in kinds]
        header = ["class", *names, *(f"{kind} .50" for kind in kinds), "mask: small", "medium", "large"]
        parts.append(table(header, [_class_row(evaluation, label) for label in range(len(evaluation.class_names))]))
    note = (
        "Small objects have fewer than 32 x 32 pixels, large ones 96 x 96 or more. Boundary AP also compares the rims "
        "of the masks, 2 % of the image's diagonal wide (arXiv:2103.16562)."
    )
    parts += [paragraph(note), plot(plot_precision_recall(kinds, evaluation.class_names, _used(evaluation)))]
    return "\n".join(parts)


def _class_row(evaluation: Evaluation, label: int) -> list[object]:
    kinds = evaluation.box, evaluation.mask, evaluation.boundary
    values = [*(ap.per_class[label] for ap in kinds), *(ap.per_class50[label] for ap in kinds)]
    return [evaluation.class_names[label], *map(ap_text, (*values, *evaluation.mask.per_class_sizes[label]))]


def _used(evaluation: Evaluation) -> tuple[float, float] | None:
    """Recall and precision of masks; with several classes the curves are means over them, which has no such point."""
    score = evaluation.overall.mask_score
    predicted, true = score.true_positives + score.false_positives, score.true_positives + score.false_negatives
    if len(evaluation.class_names) > 1 or not predicted or not true:
        return None
    return score.true_positives / true, score.true_positives / predicted


def _error_section(evaluation: Evaluation) -> str:
    confusion, names = evaluation.confusion, evaluation.class_names
    text = (
        f"At a score of {evaluation.score_threshold:g} or more. An object is found by the surest prediction whose mask "
        "has an IoU above 0.50 with it; one more such prediction is a double, and counts the object twice."
    )
    parts = [paragraph(text)]
    if len(names) <= MAX_MATRIX:
        parts.append(_matrix(confusion, names))
    else:
        parts += [_found_table(confusion, names), _confusion_table(confusion, names)]
    sentences = [
        f"{confusion.merged} predictions merge two objects or more of their class: all of these but at most one are "
        f"among the missed. {confusion.split} objects are split: all of their parts but at most one are among the "
        "spurious."
    ]
    if len(names) > 1:
        sentences.append(f"{confusion.double_of_another_class} of the doubles have another class than the first.")
    if confusion.ignored:
        sentences.append(f"{confusion.ignored} predictions in crowd regions are not judged.")
    return "\n".join([*parts, paragraph(" ".join(sentences))])


def _matrix(confusion: Confusion, names: Sequence[str]) -> str:
    header = ["true", *(f"as {name}" for name in names), "missed", "double"]
    rows = [
        [name, *confusion.counts[label], confusion.missed[label], confusion.double[label]]
        for label, name in enumerate(names)
    ]
    return table(header, [*rows, ["nothing (spurious)", *confusion.spurious, "", ""]])


def _found_table(confusion: Confusion, names: Sequence[str]) -> str:
    header = ["class", "found", "as another class", "missed", "double", "spurious"]
    rows = []
    for label, name in enumerate(names):
        row = confusion.counts[label]
        more = confusion.missed[label], confusion.double[label], confusion.spurious[label]
        rows.append([name, row[label], sum(row) - row[label], *more])
    return table(header, rows)


def _confusion_table(confusion: Confusion, names: Sequence[str]) -> str:
    """The most frequent ones."""
    pairs = confusions(confusion, names)[:MAX_CONFUSIONS]
    if not pairs:
        return paragraph("No object is taken for one of another class.")
    return table(["true", "predicted", "objects"], pairs)


def _count_section(evaluation: Evaluation) -> str:
    overall, names = evaluation.overall, evaluation.class_names
    rows = [["all", *count_cells(overall.count)]]
    if len(names) > 1:
        rows += [[name, *count_cells(count)] for name, count in zip(names, overall.class_counts, strict=True)]
    best = overall.sweep.best_count
    text = (
        "The error of an image is the sum over classes of |predicted - true|. At a score of "
        f"{evaluation.score_threshold:g} or more it is {overall.count.mae:.2f} in the mean; it would be lowest, "
        f"{best.mae:.2f}, at {best.score_threshold:g} (a copy of the weights can be written with that threshold)."
    )
    counts, caption = _counts_to_plot(evaluation)
    figure = plot_counts(counts, overall.sweep, overall.num_images, evaluation.score_threshold)
    return "\n".join([table(["", *COUNT_HEADER], rows), paragraph(text), plot(figure, caption)])


def _counts_to_plot(evaluation: Evaluation) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """By group if there are groups, else by class if these can be told apart; and what a point is."""
    num_classes = len(evaluation.class_names)
    true = np.array([image.true for image in evaluation.images]).reshape(-1, num_classes)
    predicted = np.array([image.predicted for image in evaluation.images]).reshape(-1, num_classes)
    if not evaluation.groups and 1 < num_classes <= MAX_COLORS:
        by_class = {name: (true[:, k], predicted[:, k]) for k, name in enumerate(evaluation.class_names)}
        return by_class, "Each point is a class in an image."
    group_of = np.array([image.group or "other" for image in evaluation.images])
    true, predicted = true.sum(axis=1), predicted.sum(axis=1)
    by_group = {name: (true[group_of == name], predicted[group_of == name]) for name in sorted(set(group_of.tolist()))}
    return by_group, "Each point is an image."


def _score_section(evaluation: Evaluation) -> str:
    caption = (
        "The share of detections that find an object, mask IoU above 0.5, by their score; the points are at the mean "
        "score of each bin, on the line where scores are chances; above, the numbers of detections. The title has the "
        "expected calibration error; that of calibrated scores is, here, of the images that they were fitted on."
    )
    line = calibration_line(evaluation.score_reliability)
    text = f"{line[0].upper()}{line[1:]}. Thresholds are about the scores as they are."
    return "\n".join([paragraph(text), plot(plot_reliability(evaluation.score_reliability), caption)])


def _group_section(evaluation: Evaluation) -> str:
    header = ["", "images", "mask score", "at IoU .50", *COUNT_HEADER, "best threshold for counts"]
    rows = []
    for name, score in {"all": evaluation.overall, **evaluation.groups}.items():
        masks = score.mask_score
        values = ap_text(masks.image_mean), ap_text(masks.image_mean_at[0])
        rows.append(
            [name, score.num_images, *values, *count_cells(score.count), score.sweep.best_count.score_threshold]
        )
    note = "The mask score is TP / (TP + FP + FN), mean over images and over IoU .50:.90."
    return table(header, rows) + "\n" + paragraph(note)


def write_evaluation(
    folder: str | Path,
    evaluation: Evaluation,
    results: Mapping[int, Instances],
    dataset: Annotations,
    category_ids: Sequence[int],
    num_worst: int = 5,
    title: str = "Evaluation",
) -> Path:
    """Write evaluation.json and report.html, with pictures of the `num_worst` images; gives the path of the page.

    `results`, by image id, `category_ids`, of each label, and the annotations of `dataset` are those that `evaluation`
    was made of.
    """
    folder = Path(folder)
    write_json(folder / "evaluation.json", evaluation.to_dict())
    worst = [
        image.image_id for image in evaluation.worst_images(num_worst) if image.count_error or image.mask_score < 1
    ]
    pictures = []
    for truth in ground_truth(dataset, category_ids, worst):
        found = above(results[truth.image_id], evaluation.score_threshold)
        errors = object_errors(truth, found)
        image = dataset.load(dataset.image_ids.index(truth.image_id)).image
        counts = ", ".join(f"{number} {kind}" for kind, number in error_counts(errors).items() if number)
        caption = f"{truth.file_name}: {len(found)} predicted, {int((~truth.is_crowd).sum())} true ({counts})"
        pictures.append((truth.image_id, (draw_errors(image, truth, found, errors), caption)))
    pictures.sort(key=lambda picture: worst.index(picture[0]))
    with atomic_path(folder / "report.html") as temporary:
        page = evaluation_page(evaluation, title, [picture for _, picture in pictures])
        temporary.write_text(page, encoding="utf-8")
    return folder / "report.html"
