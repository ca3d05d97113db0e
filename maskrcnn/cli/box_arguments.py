"""Options about boxes that a person or another detector gave."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from maskrcnn.data.box_files import read_boxes
from maskrcnn.prediction.box_predictor import BoxPredictor
from maskrcnn.prediction.job_predictor import JobPredictor
from maskrcnn.prediction.predictor import Predictor


def add_boxes(parser: argparse.ArgumentParser) -> None:
    """`--boxes`."""
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="outline the objects in these boxes instead of finding any: COCO JSON, or CSV with file,x0,y0,x1,y1 and "
        "perhaps a class, in px; without a known class it is the likeliest",
    )


def with_boxes(args: argparse.Namespace, predictor: JobPredictor, files: Sequence[Path]) -> JobPredictor:
    """`predictor`, or one that takes the boxes of `--boxes`; says which of its images are not among `files`."""
    if args.boxes is None:
        return predictor
    if not isinstance(predictor, Predictor):
        raise ValueError("--boxes: expected weights that find objects, got a method or a class for every pixel")
    if not files:
        raise ValueError("--boxes: expected the images that the boxes are of, got none")
    boxes = read_boxes(args.boxes)
    sentence = boxes.check_images(files)
    if sentence is not None:
        print(sentence)
    return BoxPredictor(predictor, boxes)
