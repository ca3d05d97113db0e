"""Methods and weights judged on the same annotated images, in one table and on one page."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from maskrcnn.checkpoints.semantic_weights import load_semantic
from maskrcnn.classical.objects import CLASS_NAME
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.comparison import Comparison, Contestant, write_comparison
from maskrcnn.evaluation.evaluate import above, evaluate
from maskrcnn.evaluation.ground_truth import GroundTruth, ground_truth
from maskrcnn.evaluation.semantic_scores import semantic_scores
from maskrcnn.prediction.detecting import share_of_images
from maskrcnn.prediction.map_objects import MapObjects
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.scoring import MAX_DETECTIONS
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import crop

DEFAULT_METHODS = ("otsu", "local", "watershed", "kmeans")


def compare(
    annotations: str | Path,
    images: str | Path | None = None,
    methods: Sequence[str | MethodPredictor] = DEFAULT_METHODS,
    weights: Sequence[str | Path | Predictor | MapObjects] = (),
    out: str | Path | None = None,
    *,
    split: str | None = None,
    num_pictures: int = 4,
    max_pixels: int | None = None,
) -> Comparison:
    """Every method and all weights on annotated images: AP, masks, counts and pixels; `print(found.table())` shows it.

    Methods know no classes, so classes are left aside: all objects, true and found, are of one. Weights count with
    their own score threshold.

    Args:
        annotations, images, split, max_pixels: as in `maskrcnn.evaluate`.
        methods: names such as "otsu", or predictors of methods with choices of their own.
        weights: names, files or predictors that find objects; of a semantic network's foreground the connected regions,
            told apart where they touch.
        out: folder for comparison.csv and comparison.html, with the images side by side.
        num_pictures: images on the page, spread over the data.

    Raises:
        FileNotFoundError: annotations, images or weights that are not there.
        ValueError: nothing to compare; annotations that cannot be used; an image that does not fit them.
    """
    contestants: dict[str, Predictor | MethodPredictor | MapObjects] = {}
    for one in methods:
        predictor = one if isinstance(one, MethodPredictor) else MethodPredictor(one)
        contestants[one if isinstance(one, str) else predictor.description] = predictor
    for one in weights:
        if isinstance(one, str | Path):
            contestants[Path(one).name] = _loaded(one)
        else:
            contestants[one.description] = one
    if not contestants:
        raise ValueError("expected at least one method or one file of weights to compare")
    dataset = _without_classes(load_annotations(annotations, images, split=split, max_pixels=max_pixels))
    truths = {truth.image_id: truth for truth in ground_truth(dataset, dataset.category_ids)}
    results: dict[str, dict[int, Instances]] = {name: {} for name in contestants}
    seconds = dict.fromkeys(contestants, 0.0)
    for index in share_of_images(len(dataset), "compare"):
        image = dataset.load(index).image
        for name, predictor in contestants.items():
            started = time.perf_counter()
            found = predictor(image)
            seconds[name] += time.perf_counter() - started
            results[name][dataset.image_ids[index]] = _of_one_class(found)
    rows = [_judged(name, contestants[name], results[name], dataset, truths, seconds[name]) for name in contestants]
    comparison = Comparison(
        Path(annotations).name, len(dataset), sum(int((~t.is_crowd).sum()) for t in truths.values()), tuple(rows)
    )
    if out is not None:
        chosen = np.unique(np.linspace(0, len(dataset) - 1, max(0, num_pictures)).round().astype(int)).tolist()
        pictures = [
            (
                dataset.load(index).image,
                truths[dataset.image_ids[index]],
                {name: results[name][dataset.image_ids[index]] for name in contestants},
            )
            for index in chosen
        ]
        write_comparison(out, comparison, pictures)
    return comparison


def _loaded(weights: str | Path) -> Predictor | MapObjects:
    semantic = load_semantic(weights)
    if semantic is not None:
        return MapObjects(SemanticPredictor(semantic, keep_memory=True))
    return Predictor(weights, keep_memory=True)


def _without_classes(dataset: Annotations) -> Annotations:
    return replace(
        dataset,
        labels=np.where(dataset.labels >= 0, 0, -1),
        class_names=(CLASS_NAME,),
        category_ids=(1,),
        file=None,
    )


def _of_one_class(found: Instances) -> Instances:
    return replace(found, labels=torch.zeros_like(found.labels), class_names=(CLASS_NAME,))


def _judged(
    name: str,
    predictor: Predictor | MethodPredictor | MapObjects,
    results: Mapping[int, Instances],
    dataset: Annotations,
    truths: Mapping[int, GroundTruth],
    seconds: float,
) -> Contestant:
    threshold = predictor.settings.detection.score_threshold if isinstance(predictor, Predictor) else 0.0
    judged = evaluate(results, dataset, dataset.category_ids, MAX_DETECTIONS, threshold)
    pairs = ((_foreground(truths[i]), above(found, threshold).semantic_map().class_idx) for i, found in results.items())
    pixels = semantic_scores(pairs, ("background", CLASS_NAME))
    masks = judged.overall.mask_score
    return Contestant(
        name=name,
        description=predictor.description,
        mask_ap50=judged.mask.ap50,
        mask_score50=masks.image_mean_at[0],
        mask_score=masks.image_mean,
        pixel_iou=pixels.iou[1],
        pixel_dice=pixels.dice[1],
        count_mae=judged.overall.count.mae,
        count_error=judged.overall.count.total_relative_error,
        seconds_per_image=seconds / max(len(results), 1),
    )


def _foreground(truth: GroundTruth) -> np.ndarray:
    """Class index uint8 (H, W): 1 on an object, 255 (no class) where a crowd is."""
    drawn = np.zeros(truth.image_size, np.uint8)
    for rle, is_crowd in sorted(zip(truth.rles, truth.is_crowd.tolist(), strict=True), key=lambda pair: -pair[1]):
        x0, y0, bitmap = crop(rle)
        drawn[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]][bitmap] = 255 if is_crowd else 1
    return drawn
