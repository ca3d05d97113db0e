"""Measure a model on COCO data."""

import argparse
from pathlib import Path

from maskrcnn.cli.model_arguments import add_model_arguments, load_predictor
from maskrcnn.data.coco import category_ids_of, load_coco
from maskrcnn.engine.detecting import detect_all, with_low_threshold
from maskrcnn.engine.evaluator import evaluate
from maskrcnn.report.export import write_json


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `evaluate`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure a model on COCO data: box and mask AP, TP / (TP + FP + FN), counts.",
        epilog="example: %(prog)s --annotations val.json --images images --weights run/best.safetensors",
    )
    add = parser.add_argument
    add("--annotations", type=Path, required=True, help="COCO JSON")
    add("--images", type=Path, required=True, help="folder of its images")
    add("--group-by", metavar="KEY", help="key of the image records to repeat the figures by")
    add("--worst", type=int, default=5, help="images with the largest count error to list (default: %(default)s)")
    add("--out", type=Path, help="folder for evaluation.json")
    add_model_arguments(parser)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    predictor = load_predictor(args)
    dataset = load_coco(args.annotations, args.images)
    category_ids = category_ids_of(predictor.class_names, dataset)
    results = detect_all(with_low_threshold(predictor.model), dataset, predictor.precision)
    detection = predictor.config.detection
    evaluation = evaluate(
        results,
        args.annotations,
        category_ids,
        detection.max_detections,
        detection.score_threshold,
        group_key=args.group_by,
    )
    print(evaluation.table(args.worst))
    if args.out is not None:
        write_json(args.out / "evaluation.json", evaluation.to_dict())
        print(f"all figures are in {args.out / 'evaluation.json'}")
    return 0
