"""Options about which objects count, and what is measured, drawn and written of them."""

import argparse
import math
from pathlib import Path

from maskrcnn.report.intervals import LEVEL

LABELS = ("auto", "id", "class", "score", "all", "none")
UNITS = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
"""Of --pixel-size, in micrometres; both signs that are read as micro."""


def add_measure_arguments(parser: argparse.ArgumentParser) -> None:
    """`--min-area`, `--max-area`, `--exclude-border`, `--region`, `--pixel-size`, `--histograms`, `--labels`,
    `--interval`, `--checked`."""
    add = parser.add_argument
    add("--min-area", type=float, metavar="PX", help="ignore objects of fewer pixels")
    add("--max-area", type=float, metavar="PX", help="ignore objects of more pixels")
    add("--exclude-border", action="store_true", help="ignore objects that touch the image border")
    add(
        "--region",
        type=Path,
        metavar="FILE",
        help="polygons (GeoJSON, LabelMe, or .roi and .zip of ImageJ) in which objects are counted by themselves, in "
        "every image: regions.csv, and a column in measurements.csv. An object is where the centroid of its mask is",
    )
    add(
        "--pixel-size",
        type=micrometres,
        metavar="SIZE",
        help="side of a pixel, such as 0.25um or 65nm, instead of what the files say; with it measurements.csv has "
        "micrometres, too, and metres from a pixel of 1mm on",
    )
    add(
        "--histograms",
        action="store_true",
        help="write measurements.png: histograms of area, shape and intensity of all objects",
    )
    add(
        "--labels",
        choices=LABELS,
        default="auto",
        help="what is written at each object drawn: its id (its number in the image, as in measurements.csv), class, "
        "score, all of them, or none; auto writes as much as there is room for (default: %(default)s)",
    )
    add(
        "--interval",
        type=share,
        metavar="SHARE",
        help="share of images whose true count should lie between the _low and _high of counts.csv, which has them "
        f"where the weights know how sure their counts are (default: {LEVEL:g})",
    )
    add(
        "--checked",
        type=Path,
        metavar="CSV",
        help="a copy of counts.csv with images counted by hand: own numbers, and the status checked; they take the "
        "place of what was found, and make the total surer",
    )


def share(text: str) -> float:
    """A number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, such as 0.9, got {text!r}")
    return value


def micrometres(text: str) -> float:
    """The side of a pixel, "0.25um", "65nm" or "0.5m", in micrometres."""
    number, factor = next(((text.removesuffix(unit), f) for unit, f in UNITS.items() if text.endswith(unit)), ("", 1.0))
    try:
        size = float(number) * factor
    except ValueError:
        size = 0.0
    if not 0 < size < math.inf:
        raise argparse.ArgumentTypeError(f"expected a size such as 0.25um, 65nm or 0.5m, got {text!r}")
    return size
