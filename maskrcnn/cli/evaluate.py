"""Measure a model on COCO data."""

import argparse
import time
from pathlib import Path

from maskrcnn.checkpoints.families.coco_classes import GAPS
from maskrcnn.checkpoints.score_threshold import write_with_score_threshold
from maskrcnn.checkpoints.weights import DEFAULT_WEIGHTS, load_weights, weights_path
from maskrcnn.cli.model_arguments import add_model_arguments, load_predictor
from maskrcnn.config import ModelSettings
from maskrcnn.data.coco import category_ids_of, load_coco
from maskrcnn.evaluation.evaluate import best_threshold, evaluate, threshold_note
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.evaluation.page import write_evaluation
from maskrcnn.prediction.detecting import detect_all, with_low_threshold


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `evaluate`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure a model on COCO data: AP of boxes, masks and boundaries, errors, counts.",
        epilog="example: %(prog)s --annotations val.json --images images --weights run/best.safetensors",
    )
    add = parser.add_argument
    add("--annotations", type=Path, required=True, help="COCO JSON")
    add("--images", type=Path, required=True, help="folder of its images")
    add("--group-by", metavar="KEY", help="key of the image records to repeat the figures by")
    add(
        "--worst",
        type=int,
        default=5,
        help="images with the largest count error to list and draw (default: %(default)s)",
    )
    add("--out", type=Path, help="folder for report.html, a page with curves and pictures, and evaluation.json")
    add(
        "--set-threshold",
        type=Path,
        metavar="FILE",
        help="write a copy of the weights whose score threshold is the one with the lowest count error on these images",
    )
    add_model_arguments(parser)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.set_threshold is not None and args.set_threshold.suffix != ".safetensors":
        raise ValueError(f"--set-threshold: expected a file name that ends in .safetensors, got {args.set_threshold}")
    predictor = load_predictor(args)
    dataset = load_coco(args.annotations, args.images)
    named = [name for name in predictor.class_names if name not in GAPS]
    try:
        id_of = GAPS | dict(zip(named, category_ids_of(named, dataset), strict=True))
    except ValueError as error:
        if "imported" not in predictor.card:
            raise
        raise ValueError(
            f"{error}; convert_weights --class-names names the classes of another package's file"
        ) from None
    category_ids = tuple(id_of[name] for name in predictor.class_names)
    started = time.perf_counter()
    results = detect_all(with_low_threshold(predictor.model), dataset)
    seconds = time.perf_counter() - started
    detection = predictor.config.detection
    evaluation = evaluate(
        results,
        args.annotations,
        category_ids,
        detection.max_detections,
        detection.score_threshold,
        group_key=args.group_by,
        seconds_per_image=seconds / max(len(dataset), 1),
    )
    print(evaluation.table(args.worst))
    if args.out is not None:
        title = f"{Path(args.weights or DEFAULT_WEIGHTS).name} on {args.annotations.name}"
        report = write_evaluation(args.out, evaluation, results, dataset, category_ids, args.worst, title)
        print(f"{report} shows all of this; every figure is in {args.out / 'evaluation.json'}")
    if args.set_threshold is not None:
        _write_weights(args, predictor.config, evaluation)
    return 0


def _write_weights(args: argparse.Namespace, settings: ModelSettings, evaluation: Evaluation) -> None:
    checkpoint = load_weights(args.weights, preset=args.preset, is_partial=args.partial)
    if args.partial:
        checkpoint, _ = checkpoint.completed()
    threshold, was = best_threshold(evaluation), checkpoint.settings.detection.score_threshold
    note = threshold_note(evaluation, args.annotations.name, was)
    source = weights_path(args.weights)
    write_with_score_threshold(args.set_threshold, source, checkpoint, settings, threshold, note)
    print(f"{args.set_threshold}: the same weights with a score threshold of {threshold:g} (was {was:g})")
