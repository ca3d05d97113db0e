"""All checks of all splits, and what they learned on the way."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskrcnn.data.checks.annotation_checks import AnnotationTable, read_annotations
from maskrcnn.data.checks.box_checks import check_areas, check_boxes
from maskrcnn.data.checks.image_checks import (
    ImageFacts,
    ImagePlace,
    check_images,
    check_same_pictures,
    look_at_images,
    same_pictures,
)
from maskrcnn.data.checks.record_checks import Records, check_records
from maskrcnn.data.checks.set_checks import check_set, compare_class_names
from maskrcnn.data.problems import Problem

MANY = 20
"""A kind of warning that more annotations than this have, and more than half of a file, is said once."""


@dataclass(frozen=True, eq=False)
class Examination:
    """What the checks found, and the tables they made; splits by name, in the order given."""

    problems: list[Problem]
    """File by file: records, annotations, boxes, the set, images; then what splits have in common."""
    records: dict[str, Records]
    tables: dict[str, AnnotationTable]
    images: dict[Path, ImageFacts]
    same_pictures: list[list[ImagePlace]]


def examine(
    splits: Mapping[str, tuple[dict[str, Any], Path]],
    files: Mapping[str, str] | None = None,
    *,
    pixels: bool = True,
    progress: bool = False,
) -> Examination:
    """Check COCO dictionaries with their image folders, by name of the split, each alone and against one another.

    `files` says what messages call the annotations of a split, by default its name. Without `pixels` only the headers
    of image files are read, so that damaged files and pictures that occur twice under different names stay unseen.
    """
    problems: list[Problem] = []
    records: dict[str, Records] = {}
    tables: dict[str, AnnotationTable] = {}
    images: dict[Path, ImageFacts] = {}
    for split, (coco, image_dir) in splits.items():
        name = (files or {}).get(split, split)
        records[split], record_problems = check_records(coco, Path(image_dir), name)
        annotations = coco.get("annotations") if isinstance(coco, dict) else None
        annotations = annotations if isinstance(annotations, list) else []
        table, annotation_problems = read_annotations(annotations, records[split], progress=progress)
        tables[split] = table
        annotation_problems += check_boxes(table, records[split]) + check_areas(table, records[split])
        problems += record_problems + _summarised(annotation_problems, len(table))
        if not any(problem.kind == "not-coco" for problem in record_problems):
            problems += check_set(table, records[split])
        paths = [records[split].path(image) for image in range(len(records[split].file_names))]
        images |= look_at_images([path for path in paths if path not in images], pixels=pixels, progress=progress)
        problems += check_images(records[split], images)
    groups = same_pictures(records, images)
    problems += check_same_pictures(groups) + compare_class_names(records)
    return Examination(problems, records, tables, images, groups)


def check_splits(
    splits: Mapping[str, tuple[dict[str, Any], Path]],
    files: Mapping[str, str] | None = None,
    *,
    pixels: bool = True,
    progress: bool = False,
) -> list[Problem]:
    """The problems that `examine` finds."""
    return examine(splits, files, pixels=pixels, progress=progress).problems


def check_coco(coco: dict[str, Any], image_dir: Path, file_name: str, *, pixels: bool = True) -> list[Problem]:
    """The problems of one COCO dictionary, which messages call `file_name`."""
    return check_splits({file_name: (coco, image_dir)}, pixels=pixels)


def blocking(problems: Iterable[Problem], allowed: Collection[str] = ()) -> list[Problem]:
    """The errors whose kind is not one of `allowed`: what a training should stop for."""
    return [problem for problem in problems if problem.severity == "error" and problem.kind not in allowed]


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
