"""Check a data set before training on it."""

import argparse
from pathlib import Path

from maskrcnn.cli.data_arguments import add_annotations_argument
from maskrcnn.data.formats.recognise import FORMATS
from maskrcnn.evaluation.dataset_check import check_dataset


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `check_dataset`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Check annotations and images before training: every problem by file, annotation and reason. "
        "Writes report.html (one file, with pictures) and problems.csv; exit status 1 if there are errors.",
        epilog="example: %(prog)s --annotations train.json --images images --val val.json --out check",
    )
    add = parser.add_argument
    add_annotations_argument(parser, required=True)
    add("--images", type=Path, metavar="DIR", help="folder of the images (default: looked for near the annotations)")
    add("--format", choices=FORMATS, help="format of the annotations (default: recognised)")
    add("--val", type=Path, metavar="PATH", help="a second set, which must not share pictures with the first")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for report.html and problems.csv")
    add(
        "--no-pixels",
        action="store_true",
        help="read only the headers of the images: quick, but damaged files and pictures that occur twice stay unseen",
    )
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    check = check_dataset(
        args.annotations,
        args.images,
        val=args.val,
        format_name=args.format,
        pixels=not args.no_pixels,
        progress=True,
    )
    print(check.text())
    report = check.write(args.out)
    print(f"\nreport: {report}; all problems: {args.out / 'problems.csv'}")
    if any(problem.kind == "mostly-crowd" for problem in check.problems):
        print("train --crowd-as-objects takes crowd regions for objects")
    print(check.verdict)
    return int(not check.is_usable)
