"""Write what `infer` found, or any annotations, in the formats of other tools."""

import argparse
from pathlib import Path

from maskrcnn.cli.export_arguments import say_exported
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.formats.finding import load_json
from maskrcnn.data.formats.recognise import read_dataset, recognise
from maskrcnn.data.problems import MEANINGS
from maskrcnn.prediction.exporting import is_empty_rle, pictures_of_annotations
from maskrcnn.report.dataset_text import problems_text
from maskrcnn.report.export.formats import FORMATS, write_formats

NEED_PICTURES = ("cutouts",)
"""Formats that are made of the pixels, too."""


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `convert`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Write the instances.json of infer, or annotations of any format that train takes, as files of "
        "another tool, into OUT/FORMAT. What a format cannot hold is counted and said. Outlines follow the pixels; "
        "smooth ones, which need the network's probabilities, come from infer --export.",
        epilog="example: %(prog)s results/instances.json --to geojson imagej --out results/exports",
    )
    add = parser.add_argument
    add("data", type=Path, metavar="IN", help="instances.json, or a file or folder of annotations")
    add("--to", nargs="+", required=True, choices=FORMATS, metavar="FORMAT", help=f"any of {', '.join(FORMATS)}")
    add("--out", type=Path, metavar="DIR", help="folder for them (default: exports beside IN)")
    add("--images", type=Path, metavar="DIR", help="folder of the images, for cutouts and maps")
    add("--overwrite", action="store_true", help="replace files that no earlier export wrote")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command; 1 when something could not be used."""
    out = args.out or args.data.absolute().parent / "exports"
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out: expected a folder, {out} is a file")
    needing = [name for name in args.to if name in NEED_PICTURES]
    tables = _read(args)
    is_read = args.images is not None or any(table.image_folder != Path() for table in tables.values())
    if needing and not is_read:
        raise ValueError(f"{needing[0]}: the images are needed: name their folder with --images")
    problems = []
    for split, table in tables.items():
        # What a network found without a pixel is counted among what is lost.
        told = [p for p in table.problems if not (p.kind == "empty-mask" and p.row >= 0 and is_empty_rle(table, p.row))]
        rows = [problem.row_of_table() for problem in told]
        problems += rows
        of_split = out / split if len(tables) > 1 else out
        pictures = pictures_of_annotations(table, is_read=is_read)
        say_exported(write_formats(of_split, args.to, pictures, table.class_names, overwrite=args.overwrite))
    if problems:
        print(f"\n{problems_text(problems, MEANINGS)}")
    return int(any(row[0] == "error" for row in problems))


def _read(args: argparse.Namespace) -> dict[str, Annotations]:
    """Of one COCO file the pictures need not be at hand; every other format takes their sizes from them."""
    name = recognise(args.data)
    if name == "coco" and args.data.is_file() and args.images is None:
        return {"all": annotations_from_coco(load_json(args.data), None, str(args.data), progress=True)}
    return read_dataset(args.data, args.images, name)
