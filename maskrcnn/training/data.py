"""The data of a training run: any format, divided, checked, and written down so that the run can be resumed."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskrcnn.config import DataSettings
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.checks import examine
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.formats.splitting import group_by, split_dataset
from maskrcnn.data.problems import KINDS, DataError, Problem, blocking
from maskrcnn.data.reading import load_annotations
from maskrcnn.report.written import write_json

log = logging.getLogger("maskrcnn")

MAX_DECODED = 2000
"""Up to so many images are decoded to check them; of more only the headers are read."""
HARMLESS = ("xyxy-boxes",)
"""Errors of boxes alone, said of one annotation for all: training takes boxes from the masks."""

Sets = tuple[Annotations, Annotations | None]


def prepare_data(data: DataSettings, seed: int, folder: Path) -> tuple[DataSettings, Sets]:
    """Read, divide and check what `data` names: the same settings with COCO files, which `load_data` reads again, and
    the sets to train and to evaluate on. COCO files that are used as they are stay where they are; others are written
    to `folder`.

    Raises:
        FileNotFoundError: a file or folder that is not there.
        DataError: errors in the data of kinds that `data.allow` does not name.
        ValueError: no known format, no set to train on, or a kind in `data.allow` that cannot be allowed.
    """
    if data.train is None:
        raise ValueError("expected annotations to train on (data.train)")
    _check_allowed(data.allow)
    sets = _chosen_sets(data, seed)
    if data.crowd_as_objects:
        sets = {name: one.without_crowds() for name, one in sets.items()}
    num_images = sum(map(len, sets.values()))
    examination = examine(_told_apart(sets), pixels=num_images <= MAX_DECODED, progress=True)
    _report(examination.problems, data.allow)
    kept = {name: _without_errors(one, name, examination.by_split[name]) for name, one in sets.items()}
    paths: dict[str, str] = {}
    for name, one in kept.items():
        if not one.is_object.any() and (one.stuff is None or not len(one.stuff.image)):
            raise ValueError(f"{one.source}: nothing is left to {'train' if name == 'train' else 'evaluate'} on")
        path = one.file.resolve() if one.file is not None else (folder / f"{name}.json").resolve()
        if one.file is None:
            write_json(path, one.to_coco())
        paths[name] = str(path)
    val = kept.get("val")
    prepared = data.model_copy(
        update={
            "format": None,
            "train": paths["train"],
            "val": paths.get("val"),
            "images": str(kept["train"].image_folder.resolve()),
            "val_images": str(val.image_folder.resolve()) if val is not None else None,
        }
    )
    return prepared, (kept["train"].light(), val.light() if val is not None else None)


def load_data(data: DataSettings) -> Sets:
    """The sets to train on and to evaluate on, from the COCO files of a run."""
    if data.train is None or data.images is None:
        raise ValueError("expected data.train and data.images in the run's configuration")
    train = load_annotations(data.train, data.images, max_pixels=data.max_pixels).light()
    if data.val is None:
        return train, None
    return train, load_annotations(data.val, data.val_images or data.images, max_pixels=data.max_pixels).light()


def _check_allowed(allowed: Collection[str]) -> None:
    possible = sorted(name for name, kind in KINDS.items() if kind.severity == "error" and kind.can_be_allowed)
    for kind in allowed:
        if kind in KINDS and not KINDS[kind].can_be_allowed:
            raise ValueError(f"data.allow: {kind} cannot be allowed: {KINDS[kind].meaning}")
        if kind not in KINDS:
            raise ValueError(f"data.allow: there is no kind of error {kind!r}; expected some of {', '.join(possible)}")


def _chosen_sets(data: DataSettings, seed: int) -> dict[str, Annotations]:
    """`train`, and `val` where there is one: given, in the data, or divided off."""
    assert data.train is not None
    images = Path(data.images) if data.images is not None else None
    found = read_dataset(Path(data.train), images, data.format, max_pixels=data.max_pixels)
    train = found.get("train", found.get("all"))
    if train is None:
        raise ValueError(f"{data.train}: no set called train; there are {', '.join(found)}")
    if data.val is not None:
        val_images = Path(data.val_images) if data.val_images is not None else images
        others = read_dataset(Path(data.val), val_images, data.format, max_pixels=data.max_pixels)
        val = next(others[name] for name in ("val", "all", *others) if name in others)
        return {"train": train, "val": val}
    if "val" in found:
        return {"train": train, "val": found["val"]}
    if data.val_fraction:
        group_of = group_by(data.group_key, list(train.file_names)) if data.group_key is not None else None
        train, val = split_dataset(train, data.val_fraction, seed, group_of)
        return {"train": train, "val": val}
    return {"train": train}


def _told_apart(sets: dict[str, Annotations]) -> dict[str, Annotations]:
    """Sets from one file say which of them they are."""
    sources = [one.source for one in sets.values()]
    return {
        name: one if sources.count(one.source) == 1 else replace(one, source=f"{one.source} ({name})")
        for name, one in sets.items()
    }


def _report(problems: Sequence[Problem], allowed: Collection[str]) -> None:
    """Stop for errors; say in a line what else was found."""
    errors = blocking(problems, allowed)
    if errors:
        raise DataError("the data cannot be trained on as it is", errors)
    counts = Counter((problem.severity, problem.kind) for problem in problems)
    if counts:
        listed = ", ".join(f"{number} {kind} ({severity})" for (severity, kind), number in sorted(counts.items()))
        log.info("the data: %s", listed)


def _without_errors(one: Annotations, name: str, problems: Sequence[Problem]) -> Annotations:
    """The set `name` less the annotations and images that have errors, which got this far because they are allowed."""
    keep_rows, left_out = np.ones(len(one.names), bool), set()
    for problem in problems:
        if problem.severity != "error" or problem.kind in HARMLESS:
            continue
        if problem.row >= 0:
            keep_rows[problem.row] = False
        # A picture in both sets stays where it is trained on.
        if problem.image >= 0 and (name, problem.kind) != ("train", "image-in-two-splits"):
            left_out.add(one.file_names[problem.image])
    keep_images = np.array([file_name not in left_out for file_name in one.file_names], bool)
    return one.select(keep_images, keep_rows).usable()
