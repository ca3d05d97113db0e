"""Arguments of the methods that need no weights."""

import argparse
from typing import get_args

from maskrcnn.classical.grey import ObjectSide
from maskrcnn.classical.kmeans import ColorSpace
from maskrcnn.classical.method import METHODS
from maskrcnn.classical.threshold import Cut
from maskrcnn.prediction.method_predictor import MethodPredictor

_OPTIONS = {
    "threshold": "cuts",
    "window": "window_px",
    "offset": "offset",
    "clusters": "clusters",
    "color_space": "space",
    "seed": "seed",
    "objects": "objects",
    "smooth": "smooth_px",
    "split_touching": "split",
}
"""Our arguments, and the choices of a method that they are."""


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """`--method` and its choices."""
    group = parser.add_argument_group("without weights")
    add = group.add_argument
    add("--method", choices=METHODS, metavar="NAME", help=f"in place of weights: {', '.join(METHODS)}")
    add(
        "--threshold",
        nargs="+",
        type=_cut,
        metavar="CUT",
        help="of threshold and watershed: mean, otsu or grey levels of 0 to 255 (default: otsu)",
    )
    add("--window", type=int, metavar="PX", help="of local: side of the surroundings, odd (default: by the image)")
    add("--offset", type=float, help="of local: grey levels that objects differ by (default: 5)")
    add("--clusters", type=int, metavar="K", help="of kmeans (default: 3)")
    add("--color-space", choices=get_args(ColorSpace), help="of kmeans (default: lab)")
    add("--seed", type=int, help="of kmeans (default: 0)")
    add("--objects", choices=get_args(ObjectSide), help="lighter or darker than the background (default: auto)")
    add("--smooth", type=float, metavar="PX", help="standard deviation of the blur before (default: 1)")
    add("--split-touching", action="store_true", default=None, help="tell touching objects apart by their shape")


def method_predictor(args: argparse.Namespace) -> MethodPredictor | None:
    """The predictor that those arguments ask for; None without `--method`.

    Raises:
        ValueError: a choice without a method, or weights beside it.
    """
    given = {choice: getattr(args, name) for name, choice in _OPTIONS.items() if getattr(args, name) is not None}
    if args.method is None:
        if given:
            name = next(name for name, choice in _OPTIONS.items() if choice in given)
            raise ValueError(f"--{name.replace('_', '-')} is a choice of a method: name one with --method")
        return None
    if args.weights is not None:
        raise ValueError("--method: a method needs no weights, got --weights beside it")
    if "cuts" in given:
        given["cuts"] = tuple(given["cuts"])
    predictor = MethodPredictor(args.method, **given)
    print(f"{args.method}: {predictor.description}, no weights")
    return predictor


def _cut(text: str) -> Cut:
    if text == "mean" or text == "otsu":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected mean, otsu or a grey level of 0 to 255, got {text!r}") from None
