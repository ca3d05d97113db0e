"""Several ways of finding objects, judged on the same images: a value, a table, a CSV and a page."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from maskrcnn.evaluation.evaluation import ap_text, percent
from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.files import atomic_path
from maskrcnn.report.annotated import Outline, draw_annotations
from maskrcnn.report.draw import draw
from maskrcnn.report.html import page, paragraph, picture, table
from maskrcnn.report.text import shorten
from maskrcnn.structures.instances import Instances
from maskrcnn.untrusted.names import table_cell

SIDE_PX = 420
"""Longer side of a picture on the page: three stand beside one another."""
HEADER = ("", "mask AP .50", "masks .50", "masks .50:.90", "pixel IoU", "Dice", "count MAE", "total error", "s/image")
NOTE = (
    "Classes are left aside. masks: TP / (TP + FP + FN), mean over images, at IoU .50 and over .50:.90. Pixel IoU and "
    "Dice: all objects of all images against the background. Methods give every object the score 1, so AP says little."
)


@dataclass(frozen=True)
class Contestant:
    """How well one method or one file of weights did; shares are 0..1, None where nothing defines them."""

    name: str
    description: str
    mask_ap50: float | None
    mask_score50: float
    mask_score: float
    pixel_iou: float | None
    pixel_dice: float | None
    count_mae: float
    count_error: float | None
    seconds_per_image: float


@dataclass(frozen=True)
class Comparison:
    """All of them, in the order in which they were named."""

    data: str
    num_images: int
    num_objects: int
    contestants: tuple[Contestant, ...]

    def table(self) -> str:
        """Text for a terminal."""
        rows = [HEADER, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        ]
        return "\n".join([f"{self.data}: {self.num_images} images, {self.num_objects} objects", "", *lines])

    def rows(self) -> list[tuple[str, ...]]:
        """A row of words for each, under `HEADER`."""
        return [
            (
                shorten(one.name, 32),
                *map(ap_text, (one.mask_ap50, one.mask_score50, one.mask_score, one.pixel_iou, one.pixel_dice)),
                f"{one.count_mae:.2f}",
                percent(one.count_error),
                f"{one.seconds_per_image:.3f}",
            )
            for one in self.contestants
        ]

    def to_csv(self, path: str | Path) -> None:
        """Write a line for each below the names of `Contestant`'s fields; what has no value is an empty cell."""
        text = io.StringIO(newline="")
        lines = csv.writer(text, lineterminator="\n")
        names = [field.name for field in fields(Contestant)]
        lines.writerow(names)
        for one in self.contestants:
            values = [getattr(one, name) for name in names]
            lines.writerow([table_cell(v) if isinstance(v, str) else "" if v is None else v for v in values])
        with atomic_path(path) as temporary:
            temporary.write_bytes(text.getvalue().encode())


def write_comparison(
    folder: str | Path,
    comparison: Comparison,
    pictures: Sequence[tuple[np.ndarray, GroundTruth, Mapping[str, Instances]]],
) -> Path:
    """Write comparison.csv and comparison.html; gives the path of the page.

    `pictures` are RGB uint8 (H, W, 3) images with what is true and what each of them found, by its name.
    """
    folder = Path(folder)
    facts = f"{comparison.num_images} images, {comparison.num_objects} objects."
    sections = [("Table", "\n".join([paragraph(facts), table(HEADER, comparison.rows()), paragraph(NOTE)]))]
    for image, truth, results in pictures:
        true = draw_annotations(image, [Outline(rle) for rle in truth.rles])
        shown = [picture(_small(true), f"annotated: {int((~truth.is_crowd).sum())}")]
        for name, found in results.items():
            shown.append(picture(_small(draw(image, found, legend=False, labels="none")), f"{name}: {len(found)}"))
        sections.append((truth.file_name, "\n".join(shown)))
    comparison.to_csv(folder / "comparison.csv")
    with atomic_path(folder / "comparison.html") as temporary:
        temporary.write_text(page(f"Comparison on {comparison.data}", sections), encoding="utf-8")
    return folder / "comparison.html"


def _small(image: np.ndarray) -> np.ndarray:
    scale = SIDE_PX / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
