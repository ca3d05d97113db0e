"""The arguments of every command that uses a trained model."""

import argparse
import math

from maskrcnn.engine.predictor import Predictor
from maskrcnn.engine.weights import DEFAULT_WEIGHTS


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which weights, and how they are used."""
    add = parser.add_argument
    add("--weights", help=f"a shipped name or a checkpoint file (default: {DEFAULT_WEIGHTS})")
    add("--score", type=float, help="keep detections that score more than this, 0..1 (default: the checkpoint's)")
    add("--max-detections", type=int, help="limit for a picture (default: the checkpoint's)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="of the dense layers (default: %(default)s)",
    )
    add(
        "--resize",
        type=_resize,
        help="px of the shorter side (800) or factor (2.0x) at which the network sees it (default: the checkpoint's)",
    )


def load_predictor(args: argparse.Namespace, batch_size: int = 1) -> Predictor:
    """The predictor that those arguments ask for."""
    return Predictor(
        args.weights,
        device=args.device,
        precision=args.precision,
        score=args.score,
        max_detections=args.max_detections,
        resize=args.resize,
        batch_size=batch_size,
    )


def _resize(text: str) -> int | float:
    """A whole number of pixels, or a factor such as 1.5x."""
    try:
        value = float(text[:-1]) if text.endswith("x") else int(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected pixels such as 800 or a factor such as 1.5x, got {text!r}")
    return value
