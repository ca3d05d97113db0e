"""Convert annotations of other tools to COCO JSON, and split them into train and val."""

import argparse
from collections import Counter
from pathlib import Path

from maskrcnn.cli.picture_arguments import add_max_pixels
from maskrcnn.data.formats.assembling import ONE_CLASS
from maskrcnn.data.formats.recognise import FORMATS
from maskrcnn.data.problems import MEANINGS
from maskrcnn.evaluation.dataset_conversion import convert_dataset
from maskrcnn.report.dataset_text import problems_text


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `convert_dataset`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Convert annotations to COCO JSON (from VIA, LabelMe, YOLO segmentation, Pascal VOC, label images, "
        "or one mask file per object), and optionally split them into train and val. Whatever cannot be used is "
        "listed and left out, and the exit status is then 1.",
        epilog="example: %(prog)s balloon/via_region_data.json balloon.json --val-fraction 0.2 --class-name balloon",
    )
    add = parser.add_argument
    add("data", type=Path, metavar="IN", help="file or folder of the annotations; the format is recognised")
    add("out", type=Path, metavar="OUT.json", help="COCO file to write; several splits become OUT_train.json and so on")
    add("--images", type=Path, metavar="DIR", help="folder of the images (default: beside the annotations)")
    add("--format", choices=FORMATS, help="format to read, if the folder holds annotations in several")
    add("--split", metavar="NAME", help="convert only this split of the data, such as train (default: all)")
    add(
        "--val-fraction", type=float, metavar="F", help="hold out about this fraction of the images as val, such as 0.2"
    )
    add(
        "--group-key",
        metavar="RE",
        help="regular expression; images whose file names match with the same text (of its group, if it has one) stay "
        r"in the same split. '^(plate\d+)_' keeps plates together, '^[^/]+/' folders",
    )
    add("--seed", type=int, default=0, help="a different number gives a different split (default: %(default)s)")
    add("--class-name", metavar="NAME", help=f"class name for data without any (default: {ONE_CLASS})")
    add_max_pixels(parser)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command; 1 when something could not be used."""
    converted = convert_dataset(
        args.data,
        args.out,
        args.images,
        format_name=args.format,
        split=args.split,
        val_fraction=args.val_fraction,
        group_key=args.group_key,
        seed=args.seed,
        class_name=args.class_name,
        max_pixels=args.max_pixels,
    )
    print(f"{args.data}: format {converted.format_name}")
    if converted.uneven:
        print(converted.uneven)
    print(converted.text())
    rows = [problem.row_of_table() for problem in converted.problems]
    if rows:
        counts = Counter(row[0] for row in rows)
        print(f"\n{problems_text(rows, MEANINGS)}")
        print(f"\n{', '.join(f'{counts[name]} {name}' for name in ('error', 'warning', 'fixed') if counts[name])}")
    return int(not converted.is_complete)
