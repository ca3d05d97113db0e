"""A model judged on annotated images: it predicts them all, and the results are compared with the annotations."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.checkpoints.families.coco_classes import GAPS
from maskrcnn.checkpoints.score_threshold import write_with_score_threshold
from maskrcnn.checkpoints.semantic_weights import load_semantic
from maskrcnn.checkpoints.weights import DEFAULT_WEIGHTS, load_weights, weights_path
from maskrcnn.config import ModelSettings
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.pages import Planes
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.evaluate import best_threshold, calibration_note, threshold_note
from maskrcnn.evaluation.evaluate import evaluate as judge
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.evaluation.page import write_evaluation
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation
from maskrcnn.prediction.detecting import detect_all, share_of_images, with_low_threshold
from maskrcnn.prediction.map_objects import MapObjects
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.scene_judge import judge_of
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.prediction.semantic_scoring import evaluate_semantic
from maskrcnn.structures.instances import Instances

MAX_DETECTIONS = 1000
"""COCO's maxDets of a method: its objects of an image that count in AP."""


def evaluate(
    weights: Predictor | MethodPredictor | SemanticPredictor | MapObjects | Checkpoint | str | Path | None,
    annotations: str | Path,
    images: str | Path | None = None,
    out: str | Path | None = None,
    *,
    split: str | None = None,
    format_name: str | None = None,
    group_by: str | None = None,
    num_worst: int = 5,
    title: str | None = None,
    tuned_weights: str | Path | None = None,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
    **predictor_options: Any,
) -> Evaluation | SemanticEvaluation:
    """AP, AR, errors and counts of a model on annotated images; `print(evaluation.table())` shows them.

    The AP takes detections down to a score of 0.05, the rest those from the predictor's own score threshold on.

    Args:
        weights: a `Predictor`, or what one takes: a name, a file, a checkpoint, None for the default; or a
            `MethodPredictor`, whose objects are then of the only class that the annotations have; or a semantic
            network, of which the pixels are judged, or, as `MapObjects`, the regions of its foreground.
        annotations: file or folder of any known format.
        images: folder of the images; None looks for them near `annotations`.
        out: folder for report.html, a page with curves and pictures, and evaluation.json with every figure.
        split: of annotations in several splits; None is val, or else test.
        format_name: of the annotations, where a folder can be read in several ways; None recognises it.
        group_by: key of the image records, to repeat the figures for the images of each of its values.
        num_worst: images with the largest count error that the page shows.
        title: of the page; None names the weights and the annotations.
        tuned_weights: file for a copy of the weights, .safetensors, with the score threshold that counts best here.
        max_pixels: of an image or mask; see `read_image`.
        channel, planes: of images with several; see `read_image`. COCO records may name a `page` of a stack.
        predictor_options: of `Predictor`, such as `device` or `score`; none beside a predictor.

    Raises:
        FileNotFoundError: weights, annotations or images that are not there.
        ValueError: annotations that cannot be used, or do not have the classes of the model.
    """
    if tuned_weights is not None and Path(tuned_weights).suffix != ".safetensors":  # before the work, not after
        raise ValueError(f"tuned_weights: expected a file name that ends in .safetensors, got {tuned_weights}")
    if tuned_weights is not None and not isinstance(weights, str | Path | None):
        raise ValueError("tuned_weights: expected weights by name or file, got ones that are loaded already")
    reading: dict[str, Any] = {"split": split, "format_name": format_name, "max_pixels": max_pixels}
    reading |= {"channel": channel, "planes": planes}
    if isinstance(weights, str | Path) and (semantic := load_semantic(weights)) is not None:
        weights = SemanticPredictor(semantic, **predictor_options)
        predictor_options = {}
    if isinstance(weights, SemanticPredictor):
        if predictor_options or group_by is not None or tuned_weights is not None:
            raise ValueError(
                "group_by, tuned_weights and options are for weights of objects, got ones of a semantic one"
            )
        dataset = load_annotations(annotations, images, **reading)
        return evaluate_semantic(weights, dataset, out, num_worst=num_worst, title=title)
    if isinstance(weights, MethodPredictor | MapObjects):
        dataset = load_annotations(annotations, images, **reading)
        return _evaluate_method(weights, dataset, out, group_by, num_worst, title or f"{weights} on {annotations}")
    name = None if isinstance(weights, Predictor | Checkpoint) else weights
    checkpoint = None
    if isinstance(weights, Predictor):
        if predictor_options:
            raise ValueError(f"a predictor has its options already, got {', '.join(predictor_options)} beside it")
        predictor = weights
    else:
        is_loaded = isinstance(weights, Checkpoint)
        checkpoint = weights if is_loaded else load_weights(name, preset=predictor_options.pop("preset", None))
        predictor = Predictor(checkpoint, **predictor_options)
    dataset = load_annotations(annotations, images, **reading)
    category_ids = category_ids_of(predictor.class_names, dataset, "imported" in predictor.card)
    scene_judge = judge_of(predictor.scenes, dataset, category_ids)
    started = time.perf_counter()
    results = detect_for_judging(predictor, dataset, scene_judge)
    seconds = time.perf_counter() - started
    evaluation = judge(
        results,
        dataset,
        category_ids,
        predictor.settings.detection.max_detections,
        predictor.settings.detection.score_threshold,
        group_key=group_by,
        seconds_per_image=seconds / max(len(dataset), 1),
        panoptic=scene_judge.quality() if scene_judge is not None else None,
    )
    if out is not None:
        is_named = not isinstance(weights, Predictor | Checkpoint)
        shown = Path(name or DEFAULT_WEIGHTS).name if is_named else predictor.description
        title = title or f"{shown} on {Path(annotations).name}"
        write_evaluation(out, evaluation, results, dataset, category_ids, num_worst, title)
    if tuned_weights is not None and checkpoint is not None:
        source = weights_path(name)
        write_tuned_weights(tuned_weights, source, checkpoint, predictor.settings, evaluation, Path(annotations).name)
    return evaluation


def detect_for_judging(
    predictor: Predictor,
    dataset: Annotations,
    judge: Callable[[int, Instances], None] | None = None,
    what: str = "val",
) -> dict[int, Instances]:
    """Detections of every image by its id, down to the low scores that AP needs; see `detect_all`."""
    rules = predictor.model.box_head.rules
    try:
        model = with_low_threshold(predictor.model)
        return detect_all(model, dataset, in_tiles=partial(_in_tiles, predictor), judge=judge, what=what)
    finally:
        predictor.model.box_head.rules = rules  # the predictor goes on as it was


def _evaluate_method(
    predictor: MethodPredictor | MapObjects,
    dataset: Annotations,
    out: str | Path | None,
    group_by: str | None,
    num_worst: int,
    title: str,
) -> Evaluation:
    """A method judged as a network is; each of its objects has the score 1."""
    ids = dataset.category_ids
    if isinstance(predictor, MapObjects):
        ids = dataset.category_ids_of(predictor.class_names)
    elif len(dataset.class_names) != 1:
        raise ValueError(
            f"{dataset.source}: expected one class, since a method tells none apart, got {len(dataset.class_names)}; "
            "compare leaves classes aside"
        )
    started = time.perf_counter()
    results = {
        dataset.image_ids[index]: _named(predictor(dataset.load(index).image), predictor, dataset)
        for index in share_of_images(len(dataset), "val")
    }
    seconds = (time.perf_counter() - started) / max(len(dataset), 1)
    evaluation = judge(results, dataset, ids, MAX_DETECTIONS, 0.0, group_key=group_by, seconds_per_image=seconds)
    if out is not None:
        write_evaluation(out, evaluation, results, dataset, ids, num_worst, title)
    return evaluation


def _named(found: Instances, predictor: MethodPredictor | MapObjects, dataset: Annotations) -> Instances:
    return found if isinstance(predictor, MapObjects) else replace(found, class_names=dataset.class_names)


def write_tuned_weights(
    target: str | Path,
    source: str | Path,
    checkpoint: Checkpoint,
    settings: ModelSettings,
    evaluation: Evaluation,
    chosen_on: str,
    score_threshold: float | None = None,
) -> float:
    """Write the weights of `checkpoint`, read from `source`, with the score threshold that counts best; gives that.

    The card says how sure counts are at it. `settings` are those that `evaluation` was made with, on the annotations
    `chosen_on`. A `score_threshold` that is given, the one of `evaluation`, is taken instead of the best.
    """
    if score_threshold is None:
        threshold = best_threshold(evaluation)
        note = threshold_note(evaluation, chosen_on, checkpoint.settings.detection.score_threshold)
    else:
        threshold = score_threshold
        note = {
            "count_intervals": evaluation.count_intervals.to_dict() | {"calibrated_on": chosen_on},
            **calibration_note(evaluation, chosen_on),
        }
    write_with_score_threshold(target, source, checkpoint, settings, threshold, note)
    return threshold


def _in_tiles(predictor: Predictor, image: np.ndarray) -> Instances | None:
    """What is in a picture that the network would see smaller than the weights are used to.

    Weights that bring every picture to one size are judged on whole ones, as their published figures are, unless the
    tiles were chosen.
    """
    is_whole = predictor.tile == "auto" and predictor.model.resize.mode != "scale"
    if is_whole or not predictor.needs_tiles((image.shape[0], image.shape[1])):
        return None
    return predictor.in_tiles(image)


def category_ids_of(class_names: Sequence[str], dataset: Annotations, is_imported: bool = False) -> tuple[int, ...]:
    """The id that the annotations give to each class of a model; those that COCO left out have none of theirs.

    Raises:
        ValueError: classes that the annotations do not have; with a hint for a file of another package.
    """
    named = [name for name in class_names if name not in GAPS]
    try:
        id_of = GAPS | dict(zip(named, dataset.category_ids_of(named), strict=True))
    except ValueError as error:
        if not is_imported:
            raise
        raise ValueError(f"{error}; convert_weights can name the classes of another package's file") from None
    return tuple(id_of[name] for name in class_names)
