"""What commands do with weights that give a class for every pixel."""

import argparse
from pathlib import Path

from maskrcnn.checkpoints.semantic_weights import load_semantic
from maskrcnn.prediction.semantic_predictor import SemanticPredictor
from maskrcnn.report.selection import Selection


def load_semantic_predictor(args: argparse.Namespace) -> SemanticPredictor | None:
    """The predictor of `--weights`, if they are of a semantic network; says what they are."""
    semantic = load_semantic(args.weights)
    if semantic is None:
        return None
    pixels = SemanticPredictor(
        semantic,
        device=args.device,
        precision=args.precision,
        resize=args.resize,
        tile=args.tile,
        overlap=args.overlap,
        keep_memory=True,
    )
    print(f"{Path(args.weights).name}: {pixels.description}; {pixels.execution.description}")
    return pixels


def expect_no_objects(args: argparse.Namespace) -> None:
    """Refuse what is about objects, beside weights that find none."""
    if args.export:
        raise ValueError(f"--export: the formats hold objects, {args.weights} gives a class for every pixel")
    if Selection(args.min_area, args.max_area, args.exclude_border):
        raise ValueError(f"--min-area and its like choose objects, {args.weights} gives a class for every pixel")
