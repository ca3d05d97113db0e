"""What only a whole file can tell: crowds, classes, objects drawn twice, and what several splits share."""

from collections.abc import Mapping

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.problems import Problem, found
from maskrcnn.data.stuff_masks import StuffMasks

NAMES_SHOWN = 20


def check_set(table: Annotations) -> list[Problem]:
    """What the annotations of one file are together."""
    if table.stuff is not None and not table.class_names:
        return check_pixel_classes(table, table.stuff)
    return [
        *_check_crowds(table),
        *_check_classes(table),
        *_check_empty_images(table),
        *_check_twins(table),
    ]


def check_pixel_classes(table: Annotations, stuff: StuffMasks) -> list[Problem]:
    """Of annotations that give a class for every pixel, and know no objects."""
    if not len(stuff.image):
        return [found("no-instances", f"no pixel of {len(table)} images has a class", table.source)]
    problems = []
    missing = [name for k, name in enumerate(stuff.names) if not (stuff.labels == k).any()]
    if missing:
        reason = f"{len(missing)} of {len(stuff.names)} classes have no pixel: {_some(missing)}"
        problems.append(found("class-without-instance", reason, table.source))
    is_empty = np.bincount(stuff.image, minlength=len(table)) == 0
    if is_empty.any():
        first = table.file_names[int(is_empty.argmax())]
        reason = f"{is_empty.sum()} of {len(table)} images have no pixel of any class, the first is {first}"
        problems.append(found("empty-images", reason, table.source))
    return problems


def compare_class_names(splits: Mapping[str, Annotations]) -> list[tuple[str, Problem]]:
    """Every split against the first, by split; ids may differ, since classes are matched by name."""
    problems = []
    names = {name: (*one.class_names, *(one.stuff.names if one.stuff else ())) for name, one in splits.items()}
    splits = {name: one for name, one in splits.items() if names[name]}  # the others were reported
    first = next(iter(splits), "")
    for name, one in splits.items():
        missing = [c for c in names[first] if c not in names[name]]
        more = [c for c in names[name] if c not in names[first]]
        if missing or more:
            reason = f"{name} has other classes than {first}: {_diff(missing, more)}"
            problems.append((name, found("class-names-differ", reason, one.source)))
    return problems


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(names[:NAMES_SHOWN])}{more}"


def _diff(missing: list[str], more: list[str]) -> str:
    lines = [f"- {name!r}" for name in missing] + [f"+ {name!r}" for name in more]
    folded = {name.strip().casefold(): name for name in missing}
    twins = [(folded[key], name) for name in more if (key := name.strip().casefold()) in folded]
    hint = f" (only written differently: {', '.join(f'{a!r} and {b!r}' for a, b in twins)})" if twins else ""
    return ", ".join(lines) + hint


def _check_crowds(table: Annotations) -> list[Problem]:
    num_crowds = int(table.is_crowd.sum())
    if num_crowds * 2 <= len(table.names):
        return []
    reason = f"{num_crowds} of {len(table.names)} annotations have iscrowd = 1: your exporter marks masks as crowd"
    return [found("mostly-crowd", reason, table.source)]


def _check_classes(table: Annotations) -> list[Problem]:
    if not table.is_usable.any():
        reason = f"there are {len(table.names)} annotations, and none is a usable object"
        return [found("no-instances", reason, table.source)]
    num_classes = len(table.class_names)
    objects = np.bincount(table.labels[table.is_object], minlength=num_classes)
    regions = np.bincount(table.labels[table.is_usable & table.is_crowd], minlength=num_classes)
    problems = []
    for kind, is_so, what in (
        ("class-without-instance", (objects == 0) & (regions == 0), "have no instance"),
        ("crowd-only-class", (objects == 0) & (regions > 0), "occur only as crowd"),
    ):
        names = [table.class_names[label] for label in np.flatnonzero(is_so)]
        if names:
            reason = f"{len(names)} of {num_classes} classes {what}: {_some(names)}"
            problems.append(found(kind, reason, table.source))
    return problems


def _check_empty_images(table: Annotations) -> list[Problem]:
    num_images = len(table)
    is_empty = np.bincount(table.image[table.image >= 0], minlength=num_images) == 0
    if not is_empty.any():
        return []
    first = table.file_names[int(is_empty.argmax())]
    reason = f"{is_empty.sum()} of {num_images} images have no annotation, the first is {first}"
    return [found("empty-images", reason, table.source)]


def _check_twins(table: Annotations) -> list[Problem]:
    """Annotations with the very mask of one before them, in the same image."""
    rows = np.flatnonzero(table.is_usable)
    hashes = np.array([hash(table.counts(row)) for row in rows.tolist()], np.int64)
    keys = np.stack([table.image[rows], hashes], axis=1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    original = first[group.reshape(-1)]
    problems = []
    for k in np.flatnonzero(original != np.arange(len(rows))):
        row, other = rows[k], rows[original[k]]
        name = table.class_names[table.labels[other]]
        as_class = "" if table.labels[row] == table.labels[other] else f", there of class {name!r}"
        reason = f"the same mask as annotation {table.names[other]}{as_class}; in {table.file_names[table.image[row]]}"
        problems.append(found("duplicate-annotation", reason, table.source, table.names[row], row=int(row)))
    return problems
