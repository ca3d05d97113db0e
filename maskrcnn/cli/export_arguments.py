"""The options of `infer` about its page and the formats of other tools, and what is said of them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from maskrcnn.checkpoints.weights import DEFAULT_WEIGHTS
from maskrcnn.prediction.job_predictor import JobPredictor
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.export.formats import FORMATS, Exported
from maskrcnn.untrusted.names import printable


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """`--no-report`, `--export` and `--outlines`."""
    parser.add_argument("--no-report", action="store_true", help="do not write report.html, the page about all images")
    parser.add_argument(
        "--export",
        nargs="+",
        default=[],
        choices=FORMATS,
        metavar="FORMAT",
        help=f"write what was found also as files of other tools, into OUT/exports/FORMAT: {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--outlines",
        choices=("exact", "smooth"),
        default="exact",
        help="of --export: along the edges of the pixels, or between them where the network's mask crosses 0.5 "
        "(default: %(default)s)",
    )


def about_weights(args: argparse.Namespace, predictor: JobPredictor) -> dict[str, str]:
    """What the page says of the weights: their file, and what they carry about themselves."""
    if not isinstance(predictor, Predictor):
        return {} if args.weights is None else {"weights": Path(args.weights).name}
    words = {name: text for name, text in predictor.card.items() if isinstance(text, str)}
    return {"weights": Path(args.weights or DEFAULT_WEIGHTS).name, **words}


def say_exported(exported: Sequence[Exported]) -> None:
    """A line for each format: where it is, and what it does not hold."""
    for one in exported:
        print(printable(str(one)))
