"""Arguments that say which annotations, the same in every command."""

import argparse
from pathlib import Path

ANY_FORMAT = "COCO, VIA, LabelMe, YOLO, VOC, label images or one mask per object; the format is recognised"


def add_annotations_argument(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """`--annotations PATH`, also under its older name `--data`."""
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument("--annotations", type=Path, metavar="PATH", help=f"file or folder: {ANY_FORMAT}")
    group.add_argument("--data", type=Path, dest="annotations", help=argparse.SUPPRESS)
