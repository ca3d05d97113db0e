"""The options of `infer` about formats of other tools, and what is said of them."""

import argparse
from collections.abc import Sequence

from maskrcnn.names import printable
from maskrcnn.report.export.formats import FORMATS, Exported


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """`--export` and `--outlines`."""
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


def say_exported(exported: Sequence[Exported]) -> None:
    """A line for each format: where it is, and what it does not hold."""
    for one in exported:
        print(printable(str(one)))
