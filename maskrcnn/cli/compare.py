"""Compare methods without weights and trained models on annotated images."""

import argparse
from pathlib import Path

from maskrcnn.classical.method import METHODS
from maskrcnn.cli.data_arguments import add_annotations_argument
from maskrcnn.cli.picture_arguments import add_max_pixels
from maskrcnn.prediction.comparing import DEFAULT_METHODS, compare


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `compare`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Compare methods without weights and trained models on your own annotated images: one table, and "
        "one page with the images side by side.",
        epilog="example: %(prog)s --annotations val.json --images images --methods otsu local --weights nuclei",
    )
    add_annotations_argument(parser, required=True)
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="folder of the images (default: looked for near the annotations)")
    add("--split", metavar="NAME", help="if the annotations have several splits (default: val, or else test)")
    add(
        "--methods",
        nargs="*",
        default=list(DEFAULT_METHODS),
        choices=METHODS,
        metavar="METHOD",
        help=f"out of {', '.join(METHODS)} (default: {' '.join(DEFAULT_METHODS)})",
    )
    add("--weights", nargs="*", default=[], help="shipped names, names of maskrcnn zoo, or checkpoint files")
    add("--out", type=Path, help="folder for comparison.html and comparison.csv")
    add("--pictures", type=int, default=4, metavar="N", help="images on the page (default: %(default)s)")
    add_max_pixels(parser)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    comparison = compare(
        args.annotations,
        args.images,
        args.methods,
        args.weights,
        args.out,
        split=args.split,
        num_pictures=args.pictures,
        max_pixels=args.max_pixels,
    )
    print(comparison.table())
    if args.out is not None:
        print(f"\npage: {args.out / 'comparison.html'}; table: {args.out / 'comparison.csv'}")
    return 0
