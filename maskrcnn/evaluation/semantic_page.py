"""The page that shows a semantic evaluation: figures, classes, what is confused, and the worst images, in one file."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.evaluation.semantic_evaluation import (
    NAME_LETTERS,
    SemanticEvaluation,
    class_rows,
    confusions,
    headline,
    value_text,
)
from maskrcnn.evaluation.semantic_scores import SemanticScore
from maskrcnn.files import atomic_path
from maskrcnn.report.draw_semantic import draw_true_and_found
from maskrcnn.report.html import page, paragraph, picture, plot, table
from maskrcnn.report.text import shorten
from maskrcnn.report.written import write_json
from maskrcnn.structures.label_map import VOID_LABEL
from maskrcnn.structures.semantic_map import SemanticMap, index_type

MAX_MATRIX = 30
"""Classes that the confusion is drawn of; of more, only the frequent confusions are listed."""
MAX_CONFUSIONS = 30
LEGEND = (
    "From left to right: the image, the true map, the predicted one, and in red where they differ. Pixels without a "
    "true class are light, and are not judged."
)


def write_semantic_evaluation(
    folder: str | Path,
    evaluation: SemanticEvaluation,
    data: PixelClasses,
    predict: Callable[[int], SemanticMap],
    num_worst: int,
    title: str,
) -> Path:
    """Write report.html, with the `num_worst` images of lowest mean IoU, and evaluation.json; gives the page's path.

    `predict` gives the map of an image by its index in `data`.
    """
    folder = Path(folder)
    write_json(folder / "evaluation.json", evaluation.to_dict())
    pictures = []
    for image in evaluation.worst_images(num_worst):
        found, true = predict(image.index), true_map(data, image.index)
        drawn = draw_true_and_found(data.load(image.index).image, true, found)
        pictures.append((drawn, f"{image.file_name}: mean IoU {value_text(image.mean_iou)}"))
    with atomic_path(folder / "report.html") as temporary:
        temporary.write_text(semantic_page(evaluation, title, pictures), encoding="utf-8")
    return folder / "report.html"


def true_map(data: PixelClasses, index: int) -> SemanticMap:
    """What the annotations say of an image."""
    labels = data.class_map(index)
    kind = index_type(len(data.class_names))
    void = np.iinfo(kind).max
    background = data.class_names.index(data.background) if data.background is not None else None
    class_idx = np.where(labels == VOID_LABEL, void, labels).astype(kind)
    return SemanticMap(class_idx, data.class_names, background=background)


def semantic_page(evaluation: SemanticEvaluation, title: str, pictures: Sequence[tuple[np.ndarray, str]] = ()) -> str:
    """HTML of the whole evaluation; `pictures`, RGB uint8 with their captions, are those of its worst images."""
    score = evaluation.score
    facts = [f"{score.num_images} images; IoU and Dice of a class are over the pixels of all of them"]
    if evaluation.seconds_per_image is not None:
        facts.append(f"{evaluation.seconds_per_image:.2f} s an image, reading it included")
    rows = [[name, value_text(value)] for name, value in headline(score)]
    header, *classes = class_rows(score)
    sections = [
        ("All pixels", paragraph("; ".join(facts) + ".") + table(["", "value"], rows)),
        ("Classes", table(header, classes)),
        ("What is confused", _confusion_section(score)),
    ]
    if pictures:
        shown = [picture(image, caption) for image, caption in pictures]
        sections.append(("The worst images", "\n".join([paragraph(LEGEND), *shown])))
    return page(title, sections)


def _confusion_section(score: SemanticScore) -> str:
    pairs = confusions(score)[:MAX_CONFUSIONS]
    if not pairs:
        return paragraph("No pixel is taken for one of another class.")
    listed = table(["true", "predicted", "of the true pixels"], [[t, p, f"{share:.1%}"] for t, p, share in pairs])
    if len(score.class_names) > MAX_MATRIX:
        return listed
    return plot(_matrix(score), "Share of the pixels of each true class (row) by predicted class (column).") + listed


def _matrix(score: SemanticScore) -> Figure:
    shares = score.confusion / np.maximum(score.confusion.sum(axis=1, keepdims=True), 1)
    num = len(shares)
    side = 2.5 + 0.45 * num
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [shorten(name, NAME_LETTERS) for name in score.class_names]
    axes.set_xticks(range(num), names, rotation=60, ha="right")
    axes.set_yticks(range(num), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for i, j in np.argwhere(shares >= 0.005).tolist():
        axes.text(
            j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=8,
            color="white" if shares[i, j] > 0.5 else "black",
        )  # fmt: skip
    return figure
