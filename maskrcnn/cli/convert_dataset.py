"""Convert annotations of other tools to COCO JSON, and split them into train and val."""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from maskrcnn.cli.picture_arguments import add_max_pixels
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.assembling import ONE_CLASS
from maskrcnn.data.formats.finding import WHOLE
from maskrcnn.data.formats.recognise import FORMATS, read_dataset, recognise
from maskrcnn.data.formats.splitting import group_by, split_dataset
from maskrcnn.data.problems import MEANINGS
from maskrcnn.report.dataset_text import problems_text
from maskrcnn.report.written import write_json

MAX_CLASSES = 20


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
    if args.out.suffix.lower() != ".json":
        raise ValueError(f"OUT: expected the name of a .json file, got {args.out}")
    if args.val_fraction is None and args.group_key is not None:
        raise ValueError("--group-key needs --val-fraction")
    splits = _read(args)
    outputs = {split: _output(args, split) if len(splits) > 1 else args.out for split in splits}
    if args.val_fraction is not None:
        splits = _divide(args, splits)
        outputs = {split: _output(args, split) for split in splits}
    for output in outputs.values():
        if output.exists() and args.data.is_file() and output.samefile(args.data):
            raise ValueError(f"{output} is the input file; give OUT another name")
    for split, annotations in splits.items():
        write_json(outputs[split], annotations.to_coco())
        print(f"{outputs[split]}: {'' if split == WHOLE else f'{split}, '}{_summary(annotations)}")
    _print_folders(splits)
    rows = [p.row_of_table() for one in splits.values() for p in one.problems]
    if rows:
        counts = Counter(row[0] for row in rows)
        print(f"\n{problems_text(rows, MEANINGS)}")
        print(f"\n{', '.join(f'{counts[name]} {name}' for name in ('error', 'warning', 'fixed') if counts[name])}")
    return int(any(row[0] == "error" for row in rows))


def _read(args: argparse.Namespace) -> dict[str, Annotations]:
    name = args.format or recognise(args.data)
    splits = read_dataset(args.data, args.images, name, max_pixels=args.max_pixels)
    print(f"{args.data}: format {name}")
    if args.split is not None:
        if args.split not in splits:
            raise ValueError(f"--split: expected one of {', '.join(splits)}, got {args.split}")
        splits = {args.split: splits[args.split]}
    splits = {split: annotations.without_missing_images().usable() for split, annotations in splits.items()}
    if args.class_name is not None:
        splits = {split: _with_class_name(annotations, args.class_name) for split, annotations in splits.items()}
    return splits


def _with_class_name(annotations: Annotations, name: str) -> Annotations:
    if annotations.class_names != (ONE_CLASS,):
        names = ", ".join(annotations.class_names)
        raise ValueError(f"--class-name is for data without class names; this has {names}")
    return annotations.with_class_names([name])


def _divide(args: argparse.Namespace, splits: dict[str, Annotations]) -> dict[str, Annotations]:
    if len(splits) > 1:
        raise ValueError(f"the data is already split ({', '.join(splits)}); choose one of these with --split")
    (annotations,) = splits.values()
    group_of = None
    if args.group_key is not None:
        group_of = group_by(args.group_key, list(annotations.file_names))
    train, val = split_dataset(annotations, args.val_fraction, args.seed, group_of)
    num = len(val) + len(train)
    share = len(val) / num
    if not 0.5 <= share / args.val_fraction <= 1.5:
        print(
            f"val has {share:.0%} of {num} images instead of {args.val_fraction:.0%}: the file name alone decides, so "
            "a small set may split unevenly; try another --seed"
        )
    return {"train": train, "val": val}


def _output(args: argparse.Namespace, split: str) -> Path:
    return args.out.with_name(f"{args.out.stem}_{split}{args.out.suffix}")


def _summary(annotations: Annotations) -> str:
    num_rows = len(annotations.names)
    counts = Counter(annotations.class_names[label] for label in annotations.labels.tolist())
    classes = [f"{name} {counts[name]}" for name in annotations.class_names]
    num_empty = len(annotations) - len(np.unique(annotations.image))
    more = f" and {len(classes) - MAX_CLASSES} more classes" if len(classes) > MAX_CLASSES else ""
    return (
        f"{len(annotations)} images ({num_empty} without objects), {num_rows} objects: "
        f"{', '.join(classes[:MAX_CLASSES])}{more}"
    )


def _print_folders(splits: dict[str, Annotations]) -> None:
    folders: dict[Path, list[str]] = {}
    for split, annotations in splits.items():
        folders.setdefault(annotations.image_folder, []).append(split)
    for folder, names in folders.items():
        whose = f" of {', '.join(names)}" if len(folders) > 1 else ""
        print(f"file names{whose} are relative to {folder} (for --images)")
