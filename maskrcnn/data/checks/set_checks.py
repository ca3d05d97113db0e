"""What only a whole file can tell: crowds, classes, objects drawn twice, and what several splits share."""

from collections.abc import Mapping

import numpy as np

from maskrcnn.data.checks.annotation_checks import AnnotationTable
from maskrcnn.data.checks.record_checks import Records
from maskrcnn.data.problems import Problem, found

NAMES_SHOWN = 20


def check_set(table: AnnotationTable, records: Records) -> list[Problem]:
    """What the annotations of one file are together."""
    return [
        *_check_crowds(table, records),
        *_check_classes(table, records),
        *_check_empty_images(table, records),
        *_check_twins(table, records),
    ]


def compare_class_names(splits: Mapping[str, Records]) -> list[Problem]:
    """Every split against the first; ids may differ, since classes are matched by name."""
    problems = []
    splits = {name: records for name, records in splits.items() if records.class_names}  # the others were reported
    first = next(iter(splits), "")
    for name, records in splits.items():
        missing = [c for c in splits[first].class_names if c not in records.class_names]
        more = [c for c in records.class_names if c not in splits[first].class_names]
        if missing or more:
            reason = f"{name} has other classes than {first}: {_diff(missing, more)}"
            problems.append(found("class-names-differ", reason, records.annotation_file))
    return problems


def _diff(missing: list[str], more: list[str]) -> str:
    lines = [f"- {name!r}" for name in missing] + [f"+ {name!r}" for name in more]
    folded = {name.strip().casefold(): name for name in missing}
    twins = [(folded[key], name) for name in more if (key := name.strip().casefold()) in folded]
    hint = f" (only written differently: {', '.join(f'{a!r} and {b!r}' for a, b in twins)})" if twins else ""
    return ", ".join(lines) + hint


def _check_crowds(table: AnnotationTable, records: Records) -> list[Problem]:
    num_crowds = int(table.is_crowd.sum())
    if num_crowds * 2 <= len(table):
        return []
    reason = (
        f"{num_crowds} of {len(table)} annotations have iscrowd = 1: your exporter marks masks as crowd; "
        "--crowd-as-objects takes them for objects"
    )
    return [found("mostly-crowd", reason, records.annotation_file)]


def _check_classes(table: AnnotationTable, records: Records) -> list[Problem]:
    if not table.is_usable.any():
        reason = f"there are {len(table)} annotations, and none is a usable object"
        return [found("no-instances", reason, records.annotation_file)]
    num_classes = len(records.class_names)
    objects = np.bincount(table.label[table.is_instance], minlength=num_classes)
    regions = np.bincount(table.label[table.is_usable & table.is_crowd], minlength=num_classes)
    problems = []
    for kind, is_so, what in (
        ("class-without-instance", (objects == 0) & (regions == 0), "have no instance"),
        ("crowd-only-class", (objects == 0) & (regions > 0), "occur only as crowd"),
    ):
        names = [records.class_names[label] for label in np.flatnonzero(is_so)]
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            reason = f"{len(names)} of {num_classes} classes {what}: {', '.join(names[:NAMES_SHOWN])}{more}"
            problems.append(found(kind, reason, records.annotation_file))
    return problems


def _check_empty_images(table: AnnotationTable, records: Records) -> list[Problem]:
    num_images = len(records.file_names)
    is_empty = np.bincount(table.image[table.image >= 0], minlength=num_images) == 0
    if not is_empty.any():
        return []
    first = records.file_names[int(is_empty.argmax())]
    reason = f"{is_empty.sum()} of {num_images} images have no annotation, the first is {first}"
    return [found("empty-images", reason, records.annotation_file)]


def _check_twins(table: AnnotationTable, records: Records) -> list[Problem]:
    """Annotations with the very mask of one before them, in the same image."""
    rows = np.flatnonzero(table.is_usable)
    keys = np.stack([table.image[rows], table.mask_hashes[rows]], axis=1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    original = first[group.reshape(-1)]
    problems = []
    for k in np.flatnonzero(original != np.arange(len(rows))):
        row, other = rows[k], rows[original[k]]
        name = records.class_names[table.label[other]]
        as_class = "" if table.label[row] == table.label[other] else f", there of class {name!r}"
        reason = f"the same mask as annotation {table.ids[other]}{as_class}; in {records.file_names[table.image[row]]}"
        problems.append(found("duplicate-annotation", reason, records.annotation_file, table.ids[row]))
    return problems
