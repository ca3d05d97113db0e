"""Check a data set before training on it."""

import argparse
import contextlib
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.checks import Examination, examine
from maskrcnn.data.checks.examples import Example, choose_examples
from maskrcnn.data.checks.mask_reading import polygon_points, read_mask
from maskrcnn.data.formats.recognise import FORMATS, read_dataset
from maskrcnn.data.images import read_image
from maskrcnn.data.problems import MEANINGS, Problem
from maskrcnn.data.statistics import Statistics, statistics_of
from maskrcnn.files import atomic_path
from maskrcnn.report.annotated import Outline, draw_annotations
from maskrcnn.report.dataset_page import (
    ProblemRow,
    counts_section,
    duplicates_section,
    histograms_section,
    pictures_section,
    problems_section,
    size_names,
)
from maskrcnn.report.dataset_text import counts_text, problems_text, verdict_text
from maskrcnn.report.html import page, paragraph

Splits = Mapping[str, tuple[dict[str, Any], Path]]
MAX_DUPLICATES = 10  # groups of equal pictures on the page


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `check_dataset`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Check annotations and images before training: every problem by file, annotation and reason. "
        "Writes report.html (one file, with pictures) and problems.csv; exit status 1 if there are errors.",
        epilog="example: %(prog)s --data train.json --images images --val val.json --out check",
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="PATH", help="COCO JSON, or file or folder of any known format")
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
    splits, files, problems = _read_splits(args)
    examination = examine(splits, files, pixels=not args.no_pixels, progress=True)
    rows = [_row(problem) for problem in [*problems, *examination.problems]]
    statistics = {
        split: statistics_of(table, examination.records[split]) for split, table in examination.tables.items()
    }
    facts = {split: {"annotations": files[split], **_facts(of_split)} for split, of_split in statistics.items()}
    counts = {split: of_split.counts for split, of_split in statistics.items()}
    print(counts_text(facts, counts))
    if rows:
        print(f"\n{problems_text(rows, MEANINGS)}")
    _write_csv(args.out / "problems.csv", rows)
    sections = [
        ("Verdict", paragraph(verdict_text(rows)) + counts_section(facts, counts)),
        ("Sizes and shapes", _histograms(statistics)),
        ("Problems", problems_section(rows, MEANINGS)),
        (
            "Examples",
            _examples(splits, examination),
        ),
    ]
    if examination.same_pictures:
        sections.append(("The same picture more than once", _duplicates(examination)))
    with atomic_path(args.out / "report.html") as path:
        path.write_text(page(f"Data set {args.data}", sections), encoding="utf-8")
    print(f"\nreport: {args.out / 'report.html'}; all problems: {args.out / 'problems.csv'}")
    print(verdict_text(rows))
    return int(any(row[0] == "error" for row in rows))


def _read_splits(args: argparse.Namespace) -> tuple[Splits, dict[str, str], list[Problem]]:
    """COCO dictionary and image folder of each split, what its annotations are called, and what reading them found."""
    read = read_dataset(args.data, args.images, args.format)
    names = {split: str(args.data) if len(read) == 1 else f"{args.data} ({split})" for split in read}
    if args.val is not None:
        if len(read) > 1:
            raise ValueError(f"{args.data} has the splits {', '.join(read)} already; leave out --val")
        (train,) = read.values()
        val = read_dataset(args.val, args.images, args.format)
        if len(val) > 1:
            raise ValueError(f"expected --val to be one split, {args.val} has {', '.join(val)}")
        read = {"train": train, "val": next(iter(val.values()))}
        names = {"train": str(args.data), "val": str(args.val)}
    splits = {split: (annotations.coco, annotations.image_folder) for split, annotations in read.items()}
    return splits, names, [problem for annotations in read.values() for problem in annotations.problems]


def _row(problem: Problem) -> ProblemRow:
    return problem.severity, problem.kind, problem.file, problem.annotation_id, problem.reason


def _write_csv(path: Path, rows: list[ProblemRow]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["verdict", "kind", "file", "annotation", "reason"])
        table.writerows(rows)


def _facts(statistics: Statistics) -> dict[str, object]:
    per_image = statistics.objects_per_image
    return {
        "images": statistics.num_images,
        "images without objects": statistics.num_empty_images,
        "objects": statistics.num_objects,
        **{f"{name} objects": number for name, number in size_names(statistics.areas).items()},
        "crowd regions": statistics.num_crowds,
        "unusable annotations": statistics.num_unusable,
        "objects in an image, median": f"{np.median(per_image) if len(per_image) else 0:g}",
        "objects in an image, most": int(per_image.max(initial=0)),
    }


def _histograms(statistics: Mapping[str, Statistics]) -> str:
    return histograms_section(
        {split: one.counts for split, one in statistics.items()},
        {split: one.areas for split, one in statistics.items()},
        {split: one.aspect_ratios for split, one in statistics.items()},
        {split: one.objects_per_image for split, one in statistics.items()},
        {split: one.image_sizes for split, one in statistics.items()},
    )


def _examples(splits: Splits, examination: Examination) -> str:
    drawn = []
    for example in choose_examples(examination):
        with contextlib.suppress(OSError, ValueError):  # damaged, which was said, or not looked for
            drawn.append(_drawn(example, splits, examination))
    return pictures_section(drawn)


def _drawn(example: Example, splits: Splits, examination: Examination) -> tuple[np.ndarray, str]:
    """An example's picture with all its annotations, and its caption."""
    records, table = examination.records[example.split], examination.tables[example.split]
    height, width = records.sizes[example.image].tolist()
    outlines = []
    for row in np.flatnonzero(table.image == example.image).tolist():
        segmentation = splits[example.split][0]["annotations"][row].get("segmentation")
        rle = read_mask(segmentation, (height, width))[0] if height else None
        box = tuple(table.boxes[row].tolist()) if np.isfinite(table.boxes[row]).all() else None
        points = polygon_points(segmentation) if rle is None else []
        outlines.append(Outline(rle, points, box, example.marks.get(row, "")))  # pyright: ignore[reportArgumentType]
    picture = draw_annotations(read_image(records.path(example.image)), outlines)
    number = f"{len(outlines)} annotation{'s' * (len(outlines) != 1)}"
    return picture, f"{example.split}: {records.file_names[example.image]}, {number} ({example.why})"


def _duplicates(examination: Examination) -> str:
    groups = []
    for group in examination.same_pictures[:MAX_DUPLICATES]:
        pictures = [(draw_annotations(read_image(place.path), []), f"{place.split}: {place.path}") for place in group]
        groups.append(pictures)
    return duplicates_section(groups, max(0, len(examination.same_pictures) - MAX_DUPLICATES))
