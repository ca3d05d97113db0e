"""Options about reading image files, and what is said about files that were read in part or not at all."""

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from maskrcnn.data.images import PartOfFile
from maskrcnn.data.pages import Planes


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """`--max-pixels`."""
    parser.add_argument(
        "--max-pixels",
        type=_pixels,
        metavar="N",
        help="largest number of pixels of an image, such as 400e6; larger ones are reported and skipped "
        "(default: 200e6, less if memory is short)",
    )


def add_channel_and_planes(parser: argparse.ArgumentParser) -> None:
    """`--channel` and `--planes`."""
    parser.add_argument(
        "--channel",
        type=lambda text: int(text) if text.isdecimal() else text,
        metavar="N|NAME|max",
        help="of TIFFs with several channels that are not RGB: the one to look at, by number from 0 or by name, or the "
        "maximum of all (default: the one whose name says what the weights look for, such as DAPI)",
    )
    parser.add_argument(
        "--planes",
        type=_planes,
        metavar="each|max|sum|N",
        help="of TIFFs with planes of depth: take their maximum or sum, each as a page of its own, or the one of a "
        "number from 0 (default: max); given, it also holds for pages that the file does not say the meaning of",
    )


@contextmanager
def parts_said() -> Iterator[None]:
    """One line on stderr, above a progress bar, for each file of which only a part is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", PartOfFile)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, PartOfFile):
                tqdm.write(f"note: {message}", file=sys.stderr)
            else:
                others(message, category, *rest, **named)

        warnings.showwarning = show
        yield


def _planes(text: str) -> Planes:
    if text.isdecimal():
        return int(text)
    if text not in ("each", "max", "sum"):
        raise argparse.ArgumentTypeError(f"expected each, max, sum or the number of a plane, got {text!r}")
    return text  # pyright: ignore[reportReturnType]


def _pixels(text: str) -> int:
    number = float(text)  # argparse says what is wrong with what is no number
    if not 1 <= number <= 1e12:
        raise argparse.ArgumentTypeError(f"expected a number of pixels, such as 400e6, got {text}")
    return int(number)
