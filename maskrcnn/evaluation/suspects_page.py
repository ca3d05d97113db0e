"""The list of suspects of a data set as a table and as a page with pictures, and in words."""

import csv
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskrcnn.data.annotations import Annotations
from maskrcnn.evaluation.ground_truth import GroundTruth, ground_truth
from maskrcnn.evaluation.suspects import KINDS, Kind, Suspect, rank_suspects
from maskrcnn.evaluation.suspects_drawn import LEGEND, draw_suspect
from maskrcnn.files import atomic_path
from maskrcnn.report.html import page, paragraph, picture, table
from maskrcnn.report.text import shorten
from maskrcnn.structures.instances import Instances
from maskrcnn.untrusted.names import table_cell

MAX_PICTURES = 100
"""On the page; the table has all."""
MIN_SUSPICION = 0.05
"""Of suspects in the table: below, the model has nothing to say."""
MEANINGS: dict[Kind, str] = {
    "unannotated": "the model finds an object where nothing is annotated",
    "never-found": "the model finds nothing where an object is annotated",
    "merged": "the model finds two objects in one annotation",
    "loose-outline": "the outline is not the one that the model finds",
    "wrong-class": "the model finds an object of another class",
}
SUSPICIOUS = 0.5
"""A suspicion from which on it is worth to say how many there are."""
WIDTH = 100
"""Columns of printed text."""
CAUTION = (
    "A model that was trained on these images has learned their errors and hides some of them: let it judge images "
    "that it was not trained on, or train on all folds but one in turn. A suspect may also be an error of the model."
)
HEADER = ("rank", "suspicion", "kind", "split", "file", "annotation", "class", "found_class", "x0", "y0", "x1", "y1")


@dataclass(frozen=True, eq=False)
class JudgedSplit:
    """One split, what the model found in it, and what follows."""

    annotations: Annotations
    truths: Mapping[int, GroundTruth]
    """By image id, as `results`."""
    results: Mapping[int, Instances]
    suspects: Sequence[Suspect]

    @staticmethod
    def of(annotations: Annotations, category_ids: Sequence[int], results: Mapping[int, Instances]) -> "JudgedSplit":
        """`results` have every image by its id, `category_ids` an id for each of their classes."""
        truths = ground_truth(annotations, category_ids)
        suspects = rank_suspects(truths, [results[truth.image_id] for truth in truths])
        return JudgedSplit(annotations, {truth.image_id: truth for truth in truths}, results, suspects)


@dataclass(frozen=True, eq=False)
class Suspects:
    """What `find_suspects` found."""

    title: str
    splits: Mapping[str, JudgedSplit]

    def ranked(self) -> list[tuple[str, Suspect]]:
        """Those of all splits with the name of theirs, the most suspicious first, down to `MIN_SUSPICION`."""
        named = [(name, suspect) for name, split in self.splits.items() for suspect in split.suspects]
        named = [(name, suspect) for name, suspect in named if suspect.suspicion >= MIN_SUSPICION]
        return sorted(named, key=lambda pair: -pair[1].suspicion)

    def text(self) -> str:
        """For a terminal: how many there are of each kind."""
        ranked = self.ranked()
        counts = _sure_ones(ranked)
        lines = [
            f"{len(ranked)} suspect{'s' * (len(ranked) != 1)}, the most suspicious first, in suspects.html and "
            f"suspects.csv; {sum(counts.values())} with a suspicion of {SUSPICIOUS:g} or more:"
        ]
        lines += [f"  {counts[kind]:5} {kind}: {MEANINGS[kind]}" for kind in KINDS if counts[kind]]
        return "\n".join([*lines, *textwrap.wrap(CAUTION, WIDTH)])

    def write(self, folder: str | Path) -> Path:
        """Write suspects.html, one file with pictures of the first, and suspects.csv; gives the path of the page."""
        folder, ranked = Path(folder), self.ranked()
        with atomic_path(folder / "suspects.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            for rank, (split, one) in enumerate(ranked, start=1):
                names = split, one.file_name, one.annotation_id, one.annotated_class, one.found_class
                corners = [f"{corner:.1f}" for corner in one.box]
                writer.writerow([rank, f"{one.suspicion:.3f}", one.kind, *map(table_cell, names), *corners])
        counts, sure = Counter(suspect.kind for _, suspect in ranked), _sure_ones(ranked)
        rows = [[kind, counts[kind], sure[kind], MEANINGS[kind]] for kind in KINDS]
        header = ["kind", "suspects", f"of {SUSPICIOUS:g} or more", "what it means"]
        sections = [("What there is", table(header, rows) + paragraph(CAUTION))]
        if ranked:
            shown = self._pictures(ranked[:MAX_PICTURES])
            heading = f"The first {len(shown)} of {len(ranked)}" if len(shown) < len(ranked) else "All of them"
            sections.append((heading, "\n".join([paragraph(LEGEND), *shown])))
        with atomic_path(folder / "suspects.html") as path:
            path.write_text(page(self.title, sections), encoding="utf-8")
        return folder / "suspects.html"

    def _pictures(self, ranked: Sequence[tuple[str, Suspect]]) -> list[str]:
        """Each image is read once."""
        places = sorted(range(len(ranked)), key=lambda k: (ranked[k][0], ranked[k][1].image_id))
        shown, last, image = [""] * len(ranked), None, np.zeros((0, 0, 3), np.uint8)
        for k in tqdm(places, desc="pictures", unit="picture", disable=None, leave=False):
            name, one = ranked[k]
            split = self.splits[name]
            if (name, one.image_id) != last:
                image = split.annotations.read(split.annotations.image_ids.index(one.image_id))
                last = name, one.image_id
            drawn = draw_suspect(image, one, split.truths[one.image_id], split.results[one.image_id])
            shown[k] = picture(drawn, _caption(k + 1, name, one))
        return shown


def _sure_ones(ranked: Sequence[tuple[str, Suspect]]) -> Counter[str]:
    return Counter(suspect.kind for _, suspect in ranked if suspect.suspicion >= SUSPICIOUS)


def _caption(rank: int, split: str, one: Suspect) -> str:
    where = f"{split}: {one.file_name}" + (f", annotation {shorten(one.annotation_id)}" if one.annotation_id else "")
    classes = ""
    if one.kind == "wrong-class":
        classes = f" ({shorten(one.annotated_class)}, found {shorten(one.found_class)})"
    elif one.kind == "unannotated":
        classes = f" ({shorten(one.found_class)})"
    return f"{rank}. {one.kind}{classes}, {one.suspicion:.2f}; {where}"
