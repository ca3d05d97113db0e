"""All checks of all splits, and what they learned on the way."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.checks.box_checks import check_areas, check_boxes
from maskrcnn.data.checks.image_checks import ImagePlace, check_images, check_same_pictures, same_pictures
from maskrcnn.data.checks.outline_checks import check_outlines
from maskrcnn.data.checks.set_checks import check_set, compare_class_names
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.image_facts import ImageFacts, look_at_images
from maskrcnn.data.problems import Problem

MANY = 20
"""A kind of warning that more annotations than this have, and more than half of a file, is said once."""


@dataclass(frozen=True, eq=False)
class Examination:
    """What the checks found; splits by name, in the order given."""

    splits: dict[str, Annotations]
    by_split: dict[str, list[Problem]]
    """Of each: reading, boxes, the set, images; then what it has in common with those before. Warnings that most
    annotations have are said once."""
    images: dict[Path, ImageFacts]
    same_pictures: list[list[ImagePlace]]

    @property
    def problems(self) -> list[Problem]:
        """Those of all splits."""
        return [problem for problems in self.by_split.values() for problem in problems]


def examine(splits: Mapping[str, Annotations], *, pixels: bool = True, progress: bool = False) -> Examination:
    """Check the splits of a data set, each alone and against one another.

    Without `pixels` only the headers of image files are read, so that damaged files and pictures that occur twice
    under different names stay unseen.
    """
    by_split: dict[str, list[Problem]] = {}
    images: dict[Path, ImageFacts] = {}
    for split, table in splits.items():
        of_file = [problem for problem in table.problems if problem.row < 0]
        of_rows = [problem for problem in table.problems if problem.row >= 0]
        of_rows += check_outlines(table) + check_boxes(table) + check_areas(table)
        by_split[split] = of_file + _summarised(of_rows, len(table.names))
        if not any(problem.kind == "not-coco" for problem in of_file):
            by_split[split] += check_set(table)
        paths = [table.image_path(image) for image in range(len(table))]
        images |= look_at_images(
            [path for path in paths if path not in images],
            pixels=pixels,
            progress=progress,
            reading=table.reading,
        )
        by_split[split] += check_images(table, images)
    groups = same_pictures(splits, images)
    for split, problem in [*check_same_pictures(groups), *compare_class_names(splits)]:
        by_split[split].append(problem)
    return Examination(dict(splits), by_split, images, groups)


def check_coco(coco: Any, image_folder: Path, source: str, *, pixels: bool = True) -> list[Problem]:
    """The problems of one COCO dictionary, which messages call `source`."""
    return examine({source: annotations_from_coco(coco, image_folder, source)}, pixels=pixels).problems


def _summarised(problems: list[Problem], num_annotations: int) -> list[Problem]:
    """Errors as they are; a warning that most annotations have is said once, of the first of them."""
    counts = Counter(problem.kind for problem in problems)
    result, told = [], set()
    for problem in problems:
        number = counts[problem.kind]
        if problem.severity == "error" or number <= MANY or number * 2 <= num_annotations:
            result.append(problem)
        elif problem.kind not in told:
            told.add(problem.kind)
            reason = f"{number} of {num_annotations} annotations; the first: {problem.reason}"
            result.append(replace(problem, reason=reason))
    return result
