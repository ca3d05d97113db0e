"""Check a data set before training on it."""

import argparse
from pathlib import Path

from maskrcnn.cli.data_arguments import add_annotations_argument
from maskrcnn.cli.picture_arguments import add_channel_and_planes, add_max_pixels
from maskrcnn.data.formats.recognise import FORMATS
from maskrcnn.evaluation.dataset_check import check_dataset
from maskrcnn.prediction.suspecting import find_suspects, finder


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `check_dataset`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Check annotations and images before training. Lists every problem with its file, annotation and "
        "reason, and writes report.html (one file, images included) and problems.csv. The exit status is 1 if there "
        "are errors. With --weights a model also ranks annotations that look wrong.",
        epilog="example: %(prog)s --annotations train.json --images images --val val.json --out check",
    )
    add = parser.add_argument
    add_annotations_argument(parser, required=True)
    add("--images", type=Path, metavar="DIR", help="folder of the images (default: searched near the annotations)")
    add("--format", choices=FORMATS, help="format of the annotations (default: recognised)")
    add("--val", type=Path, metavar="PATH", help="the validation set, which must not share images with the first")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for report.html and problems.csv")
    add(
        "--no-pixels",
        action="store_true",
        help="read only image headers: faster, but misses damaged files and duplicate images",
    )
    add(
        "--weights",
        metavar="NAME|FILE",
        help="also look for errors in the annotations with these weights, best ones that were not trained on these "
        "images: objects that nobody annotated, annotations of nothing, merged, loose, of a wrong class; writes "
        "suspects.html and suspects.csv",
    )
    add("--device", default="auto", help="for --weights: auto, cpu, cuda or cuda:N (default: %(default)s)")
    add_max_pixels(parser)
    add_channel_and_planes(parser)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command."""
    # Before the check, which may take long.
    predictor = finder(args.weights, device=args.device) if args.weights is not None else None
    check = check_dataset(
        args.annotations,
        args.images,
        val=args.val,
        format_name=args.format,
        pixels=not args.no_pixels,
        progress=True,
        max_pixels=args.max_pixels,
        channel=args.channel,
        planes=args.planes,
    )
    print(check.text())
    report = check.write(args.out)
    print(f"\nreport: {report}; all problems: {args.out / 'problems.csv'}")
    if any(problem.kind == "mostly-crowd" for problem in check.problems):
        print("train --crowd-as-objects treats crowd regions as objects")
    print(check.verdict)
    if predictor is not None and check.is_usable:
        suspects = find_suspects(predictor, check.splits)
        print(f"\n{suspects.text()}\nsuspects: {suspects.write(args.out)}")
    elif predictor is not None:
        print("--weights: no suspects were looked for, since the errors above come first")
    return int(not check.is_usable)
