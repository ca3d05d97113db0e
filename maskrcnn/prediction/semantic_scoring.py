"""A semantic network judged on annotated images of any format."""

import time
from dataclasses import replace
from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.pixel_classes import PixelClasses
from maskrcnn.evaluation.semantic_evaluation import SemanticEvaluation
from maskrcnn.evaluation.semantic_page import write_semantic_evaluation
from maskrcnn.prediction.semantic_judging import judge_maps
from maskrcnn.prediction.semantic_predictor import SemanticPredictor


def evaluate_semantic(
    predictor: SemanticPredictor,
    dataset: Annotations,
    out: str | Path | None = None,
    *,
    num_worst: int = 5,
    title: str | None = None,
) -> SemanticEvaluation:
    """Pixel accuracy, IoU, Dice and boundary F on annotated images; `print(found.table())` shows them.

    Classes are told apart by name. Of annotations that know objects alone the rest is the background. With `out`, a
    folder, report.html and evaluation.json are written to it.

    Raises:
        ValueError: the data have a class that the network has not, or an image cannot be used.
    """
    data = PixelClasses(dataset, predictor.class_names)
    started = time.perf_counter()
    evaluation = judge_maps(predictor, data)
    assert evaluation is not None
    evaluation = replace(evaluation, seconds_per_image=(time.perf_counter() - started) / max(len(data), 1))
    if out is not None:
        shown = title or f"{predictor.description} on {dataset.source}"
        write_semantic_evaluation(
            out, evaluation, data, lambda index: predictor(data.load(index).image), num_worst, shown
        )
    return evaluation
