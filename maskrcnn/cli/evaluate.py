"""Measure a model on annotated images."""

import argparse
from pathlib import Path

from maskrcnn.checkpoints.weights import DEFAULT_WEIGHTS, load_weights, weights_path
from maskrcnn.cli.data_arguments import add_annotations_argument
from maskrcnn.cli.method_arguments import add_method_arguments, method_predictor
from maskrcnn.cli.model_arguments import add_model_arguments, add_tile_arguments, load_predictor
from maskrcnn.cli.picture_arguments import add_channel_and_planes, add_max_pixels
from maskrcnn.cli.semantic_arguments import load_semantic_predictor
from maskrcnn.data.formats.recognise import FORMATS
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.prediction.box_scoring import masks_in_true_boxes
from maskrcnn.prediction.map_objects import MapObjects
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.scoring import evaluate, write_tuned_weights
from maskrcnn.prediction.semantic_predictor import SemanticPredictor


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `evaluate`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure a model on annotated images: box, mask and boundary AP, errors and counts; and weights "
        "that give a class for every pixel: accuracy, IoU, Dice, and what is confused.",
        epilog="example: %(prog)s --annotations val.json --images images --weights run/best.safetensors",
    )
    add = parser.add_argument
    add_annotations_argument(parser, required=True)
    add("--images", type=Path, metavar="DIR", help="folder of the images (default: searched near the annotations)")
    add("--format", choices=FORMATS, help="format of the annotations (default: recognised)")
    add("--split", metavar="NAME", help="split to evaluate on, if there are several (default: val, or else test)")
    add("--group-by", metavar="KEY", help="also report each group of images, by this key of the image records")
    add(
        "--worst",
        type=int,
        default=5,
        metavar="N",
        help="number of worst images (largest count error) to list and draw (default: %(default)s)",
    )
    add("--out", type=Path, metavar="DIR", help="folder for report.html (curves, drawings) and evaluation.json")
    add(
        "--set-threshold",
        type=Path,
        metavar="FILE",
        help="write a copy of the weights with the score threshold that gives the lowest count error on these images, "
        "or with that of --score; it knows how sure its counts are, which infer then says",
    )
    add(
        "--given-boxes",
        action="store_true",
        help="judge the masks alone: outline every object in its true box, and print their IoU with the true masks",
    )
    add(
        "--as-objects",
        action="store_true",
        help="of weights that give a class for every pixel, judge the connected regions as objects, told apart where "
        "they touch",
    )
    add_max_pixels(parser)
    add_channel_and_planes(parser)
    add_model_arguments(parser)
    add_method_arguments(parser)
    add_tile_arguments(
        parser,
        "images that the network would see smaller than usual, but only for weights that scale every image by one "
        "factor; weights of other packages see each image whole, as for their published figures",
    )
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.set_threshold is not None and args.set_threshold.suffix != ".safetensors":
        raise ValueError(f"--set-threshold: expected a file name that ends in .safetensors, got {args.set_threshold}")
    method = method_predictor(args)
    if method is not None and args.set_threshold is not None:
        raise ValueError("--set-threshold: a method has no weights to copy, got --method beside it")
    predictor = method or load_semantic_predictor(args)
    if isinstance(predictor, SemanticPredictor):
        if args.group_by is not None or args.set_threshold is not None:
            option = "--group-by" if args.group_by is not None else "--set-threshold"
            raise ValueError(f"{option} is about objects, {args.weights} gives a class for every pixel")
        predictor = MapObjects(predictor) if args.as_objects else predictor
    elif args.as_objects:
        raise ValueError("--as-objects is for weights that give a class for every pixel")
    predictor = predictor or load_predictor(args)
    if args.given_boxes:
        return _judge_masks(args, predictor)
    evaluation = evaluate(
        predictor,
        args.annotations,
        args.images,
        args.out,
        split=args.split,
        format_name=args.format,
        group_by=args.group_by,
        num_worst=args.worst,
        title=f"{args.method or Path(args.weights or DEFAULT_WEIGHTS).name} on {args.annotations.name}",
        max_pixels=args.max_pixels,
        channel=args.channel,
        planes=args.planes,
    )
    print(evaluation.table(args.worst))
    if args.out is not None:
        print(f"report: {args.out / 'report.html'}; all figures: {args.out / 'evaluation.json'}")
    if args.set_threshold is not None and isinstance(evaluation, Evaluation) and isinstance(predictor, Predictor):
        checkpoint = load_weights(args.weights, preset=args.preset, is_partial=args.partial)
        if args.partial:
            checkpoint, _ = checkpoint.completed()
        source, was = weights_path(args.weights), checkpoint.settings.detection.score_threshold
        threshold = write_tuned_weights(
            args.set_threshold,
            source,
            checkpoint,
            predictor.settings,
            evaluation,
            args.annotations.name,
            args.score,
        )
        print(f"{args.set_threshold}: the same weights with a score threshold of {threshold:g} (was {was:g})")
    return 0


def _judge_masks(args: argparse.Namespace, predictor: object) -> int:
    if not isinstance(predictor, Predictor):
        raise ValueError("--given-boxes: expected weights that find objects, got a method or a class for every pixel")
    dataset = load_annotations(
        args.annotations,
        args.images,
        split=args.split,
        format_name=args.format,
        max_pixels=args.max_pixels,
        channel=args.channel,
        planes=args.planes,
    )
    print(masks_in_true_boxes(predictor, dataset).table())
    return 0
