"""Which pictures show best what a data set is, and what is wrong with it."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from maskrcnn.data.checks.examine import Examination

NUM_RANDOM = 4
NUM_FULLEST = 2
NUM_WITH_PROBLEMS = 12
SHOWN_ELSEWHERE = {"duplicate-image", "image-in-two-splits"}  # side by side
SEED = 0  # the same pictures every time the same set is checked


@dataclass(frozen=True)
class Example:
    """One picture to show."""

    split: str
    image: int
    """Index in the split."""
    why: str
    marks: dict[int, str]
    """Rows of the annotation table that something is wrong with, and what."""


def choose_examples(examination: Examination) -> list[Example]:
    """Some at random and the fullest of each split, then others with problems: every kind once before any twice."""
    reasons: dict[tuple[str, int], list[str]] = {}
    for split, table in examination.splits.items():
        readable = _readable(examination, split)
        counts = np.bincount(table.image[table.is_usable], minlength=len(table))
        fullest = sorted((i for i in readable if counts[i]), key=lambda i: -counts[i])[:NUM_FULLEST]
        others = [i for i in readable if i not in fullest]
        chosen = random.Random(SEED).sample(others, min(NUM_RANDOM, len(others)))
        reasons |= {(split, image): ["at random"] for image in sorted(chosen)}
        reasons |= {(split, image): ["among the fullest"] for image in fullest}
    marks = {split: _marked_rows(examination, split) for split in examination.splits}
    kinds_of = _kinds_of_pictures(examination, marks)
    waiting = {key: kinds for key, kinds in kinds_of.items() if key not in reasons}
    shown = Counter(kind for key in reasons for kind in kinds_of.get(key, ()))
    for _ in range(min(NUM_WITH_PROBLEMS, len(waiting))):
        key = min(waiting, key=lambda key: min(shown[kind] for kind in waiting[key]))
        shown.update(waiting.pop(key))
        reasons[key] = []
    return [
        Example(
            split,
            image,
            "; ".join([*why, *kinds_of.get((split, image), ())]),
            _rows_of(examination, marks, split, image),
        )
        for (split, image), why in reasons.items()
    ]


def _readable(examination: Examination, split: str) -> list[int]:
    table = examination.splits[split]
    return [i for i in range(len(table)) if examination.images[table.image_path(i)].size is not None]


def _marked_rows(examination: Examination, split: str) -> dict[int, str]:
    """The kinds of problem of each annotation that has one which was not put right."""
    kinds: dict[int, dict[str, None]] = defaultdict(dict)
    for problem in examination.by_split[split]:
        if problem.row >= 0 and problem.severity != "fixed":
            kinds[problem.row][problem.kind] = None
    return {row: ", ".join(kinds[row]) for row in sorted(kinds)}


def _rows_of(examination: Examination, marks: dict[str, dict[int, str]], split: str, image: int) -> dict[int, str]:
    table = examination.splits[split]
    return {row: kinds for row, kinds in marks[split].items() if table.image[row] == image}


def _kinds_of_pictures(
    examination: Examination, marks: dict[str, dict[int, str]]
) -> dict[tuple[str, int], tuple[str, ...]]:
    """What is wrong on each picture that can be shown, by split and place: its own kinds and those of its marks."""
    pictures: dict[tuple[str, int], tuple[str, ...]] = {}
    for split, table in examination.splits.items():
        of_image: dict[int, list[str]] = defaultdict(list)
        for problem in examination.by_split[split]:
            if problem.image >= 0 and problem.kind not in SHOWN_ELSEWHERE and problem.severity != "fixed":
                of_image[problem.image].append(problem.kind)
        for row, kinds in marks[split].items():
            of_image[int(table.image[row])].append(kinds)
        for image in _readable(examination, split):
            if image in of_image:
                pictures[split, image] = tuple(dict.fromkeys(of_image[image]))
    return pictures
