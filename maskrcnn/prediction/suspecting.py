"""A model looks for errors in annotations: it predicts their images, and what differs is ranked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.semantic_weights import load_semantic
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.pages import Planes
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.suspects_page import JudgedSplit, Suspects
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.scoring import category_ids_of, detect_for_judging


def find_suspects(
    weights: Predictor | Checkpoint | str | Path | None,
    annotations: str | Path | Mapping[str, Annotations],
    images: str | Path | None = None,
    out: str | Path | None = None,
    *,
    split: str | None = None,
    format_name: str | None = None,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
    **predictor_options: Any,
) -> Suspects:
    """Annotations that a model disagrees with, the most suspicious first: see `rank_suspects` for the kinds.

    The model should not have been trained on these images: it learns errors, too. Without held-out images train on all
    folds of the data but one, and let each model judge the fold that it did not see.

    Args:
        weights: a `Predictor`, or what one takes: a name, a file, a checkpoint, None for the default.
        annotations: file or folder of any known format; or tables that were read already, by name of their split.
        images: folder of the images; None looks for them near `annotations`.
        out: folder for suspects.html, a page with pictures of the first, and suspects.csv with all of them.
        split: of annotations in several splits; None is val, or else test.
        format_name: of the annotations, where a folder can be read in several ways; None recognises it.
        max_pixels: of an image or mask; see `read_image`.
        channel, planes: of images with several; see `read_image`.
        predictor_options: of `Predictor`, such as `device`; none beside a predictor.

    Raises:
        FileNotFoundError: weights, annotations or images that are not there.
        ValueError: annotations that cannot be used, or do not have the classes of the model; weights that give a class
            for every pixel, and tell no objects apart.
    """
    predictor = finder(weights, **predictor_options)
    if isinstance(annotations, Mapping):
        splits = dict(annotations)
        title = f"Suspects of {', '.join(table.source for table in splits.values())}"
    else:
        reading: dict[str, Any] = {"format_name": format_name, "max_pixels": max_pixels}
        reading |= {"channel": channel, "planes": planes}
        splits = {split or "annotations": load_annotations(annotations, images, split=split, **reading)}
        title = f"Suspects of {annotations}"
    category_ids = {
        name: category_ids_of(predictor.class_names, table, "imported" in predictor.card)
        for name, table in splits.items()
    }
    judged = {
        name: JudgedSplit.of(table, category_ids[name], detect_for_judging(predictor, table, what=name))
        for name, table in splits.items()
    }
    suspects = Suspects(title, judged)
    if out is not None:
        suspects.write(out)
    return suspects


def finder(weights: Predictor | Checkpoint | str | Path | None, **options: Any) -> Predictor:
    """The predictor that looks for errors, with the `weights` and options of `find_suspects`, and its errors."""
    if isinstance(weights, str | Path) and load_semantic(weights) is not None:
        raise ValueError(f"expected weights that find objects, {weights} gives a class for every pixel")
    if not isinstance(weights, Predictor):
        return Predictor(weights, **options)
    if options:
        raise ValueError(f"a predictor has its options already, got {', '.join(options)} beside it")
    return weights
