"""Options about reading image files, and what is said about files that were read in part or not at all."""

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from maskrcnn.data.images import PartOfFile


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """`--max-pixels`."""
    parser.add_argument(
        "--max-pixels",
        type=_pixels,
        metavar="N",
        help="largest number of pixels of an image, such as 400e6; larger ones are reported and skipped "
        "(default: 200e6, less if memory is short)",
    )


def add_channel(parser: argparse.ArgumentParser) -> None:
    """`--channel`."""
    parser.add_argument(
        "--channel",
        type=lambda text: int(text) if text.isdecimal() else text,
        metavar="N|NAME|max",
        help="channel to use of a TIFF whose channels are not RGB: its number (from 0), its name, or max, the maximum "
        "of all",
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


def _pixels(text: str) -> int:
    number = float(text)  # argparse says what is wrong with what is no number
    if not 1 <= number <= 1e12:
        raise argparse.ArgumentTypeError(f"expected a number of pixels, such as 400e6, got {text}")
    return int(number)
