"""The check of a data set before training: its problems, a verdict, and the page and table that show them."""

import contextlib
import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.checks import Examination, examine
from maskrcnn.data.checks.examples import Example, choose_examples
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.images import read_by
from maskrcnn.data.mask_reading import polygon_points
from maskrcnn.data.pages import Planes
from maskrcnn.data.problems import MEANINGS, Problem
from maskrcnn.data.statistics import Statistics, statistics_of
from maskrcnn.files import atomic_path
from maskrcnn.report.annotated import Outline, draw_annotations
from maskrcnn.report.dataset_page import (
    counts_section,
    duplicates_section,
    histograms_section,
    pictures_section,
    problems_section,
    size_names,
)
from maskrcnn.report.dataset_text import counts_text, problems_text, verdict_text
from maskrcnn.report.html import page, paragraph
from maskrcnn.untrusted.names import table_cell

MAX_DUPLICATES = 10  # groups of equal pictures on the page


@dataclass(frozen=True, eq=False)
class DatasetCheck:
    """What `check_dataset` found."""

    title: str
    examination: Examination

    @property
    def problems(self) -> list[Problem]:
        """All of them, split by split."""
        return self.examination.problems

    @property
    def is_usable(self) -> bool:
        """Whether a training would start: no problem is an error."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def verdict(self) -> str:
        """One line: good, usable, or not usable as it is, and the number of problems."""
        return verdict_text([problem.row_of_table() for problem in self.problems])

    @property
    def splits(self) -> dict[str, Annotations]:
        """The tables that were read, by name of the split."""
        return self.examination.splits

    def statistics(self) -> dict[str, Statistics]:
        """Objects, their sizes and shapes, by name of the split."""
        return {split: statistics_of(table) for split, table in self.splits.items()}

    def text(self) -> str:
        """For a terminal: counts, then the problems by kind; the verdict is `verdict`."""
        statistics = self.statistics()
        parts = [counts_text(_facts_of(self.splits, statistics), _counts_of(statistics))]
        if self.problems:
            parts.append(problems_text([problem.row_of_table() for problem in self.problems], MEANINGS))
        return "\n\n".join(parts)

    def write(self, folder: str | Path) -> Path:
        """Write report.html, one file with pictures, and problems.csv; gives the path of the page."""
        folder = Path(folder)
        rows = [problem.row_of_table() for problem in self.problems]
        with atomic_path(folder / "problems.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["verdict", "kind", "file", "annotation", "reason"])
            table.writerows(map(table_cell, row) for row in rows)
        statistics = self.statistics()
        facts, counts = _facts_of(self.splits, statistics), _counts_of(statistics)
        sections = [
            ("Verdict", paragraph(self.verdict) + counts_section(facts, counts)),
            ("Sizes and shapes", _histograms(statistics)),
            ("Problems", problems_section(rows, MEANINGS)),
            ("Examples", _examples(self.examination)),
        ]
        if self.examination.same_pictures:
            sections.append(("The same image more than once", _duplicates(self.examination)))
        with atomic_path(folder / "report.html") as path:
            path.write_text(page(self.title, sections), encoding="utf-8")
        return folder / "report.html"


def check_dataset(
    annotations: str | Path,
    images: str | Path | None = None,
    *,
    val: str | Path | None = None,
    format_name: str | None = None,
    pixels: bool = True,
    progress: bool = False,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
) -> DatasetCheck:
    """Check annotations of any known format, and their images, before training on them.

    `images` is the folder of the pictures, where it is not beside the annotations; `val` a second set, which must not
    share pictures with the first. Without `pixels` only headers are read: quick, but damaged files and pictures that
    occur twice stay unseen. Pictures and masks of more than `max_pixels` (see `read_image`) cannot be used; `channel`
    and `planes` are of images with several.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: not a known format, or splits given twice.
    """
    path, folder = Path(annotations), Path(images) if images is not None else None
    splits = read_dataset(path, folder, format_name, max_pixels=max_pixels, channel=channel, planes=planes)
    if val is not None:
        if len(splits) > 1:
            raise ValueError(f"{path} has the splits {', '.join(splits)} already; leave out the second set {val}")
        (train,) = splits.values()
        others = read_dataset(Path(val), folder, format_name, max_pixels=max_pixels, channel=channel, planes=planes)
        if len(others) > 1:
            raise ValueError(f"expected one split as the second set, {val} has {', '.join(others)}")
        splits = {"train": train, "val": next(iter(others.values()))}
    return DatasetCheck(f"Data set {path}", examine(splits, pixels=pixels, progress=progress))


def _facts_of(splits: Mapping[str, Annotations], statistics: Mapping[str, Statistics]) -> dict[str, dict[str, object]]:
    return {split: {"annotations": splits[split].source, **_facts(one)} for split, one in statistics.items()}


def _counts_of(statistics: Mapping[str, Statistics]) -> dict[str, dict[str, int]]:
    return {split: one.counts for split, one in statistics.items()}


def _facts(statistics: Statistics) -> dict[str, object]:
    stuff, total = statistics.stuff_pixels, max(1, sum(statistics.stuff_pixels.values()))
    shares = {f"pixels of {name}": f"{number / total:.1%}" for name, number in stuff.items()}
    if stuff and not statistics.counts:
        return {"images": statistics.num_images, **shares}
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
        **shares,
    }


def _histograms(statistics: Mapping[str, Statistics]) -> str:
    return histograms_section(
        {split: one.counts for split, one in statistics.items()},
        {split: one.areas for split, one in statistics.items()},
        {split: one.aspect_ratios for split, one in statistics.items()},
        {split: one.objects_per_image for split, one in statistics.items()},
        {split: one.image_sizes for split, one in statistics.items()},
    )


def _examples(examination: Examination) -> str:
    drawn = []
    for example in choose_examples(examination):
        with contextlib.suppress(OSError, ValueError):  # damaged, which was said, or not looked for
            drawn.append(_drawn(example, examination.splits[example.split]))
    return pictures_section(drawn)


def _drawn(example: Example, table: Annotations) -> tuple[np.ndarray, str]:
    """An example's picture with all its annotations, and its caption."""
    outlines = []
    for row in table.rows(example.image).tolist():
        rle = table.rle(row) if table.mask_areas[row] else None
        box = tuple(table.boxes_xywh[row].tolist()) if np.isfinite(table.boxes_xywh[row]).all() else None
        points = polygon_points(table.coco["annotations"][row].get("segmentation")) if rle is None else []
        outlines.append(Outline(rle, points, box, example.marks.get(row, "")))  # pyright: ignore[reportArgumentType]
    picture = draw_annotations(table.read(example.image), outlines)
    number = f"{len(outlines)} annotation{'s' * (len(outlines) != 1)}"
    return picture, f"{example.split}: {table.file_names[example.image]}, {number} ({example.why})"


def _duplicates(examination: Examination) -> str:
    groups = []
    for group in examination.same_pictures[:MAX_DUPLICATES]:
        reading = examination.splits[group[0].split].reading
        pictures = [
            (draw_annotations(read_by(place.path, reading), []), f"{place.split}: {place.path}") for place in group
        ]
        groups.append(pictures)
    return duplicates_section(groups, max(0, len(examination.same_pictures) - MAX_DUPLICATES))
