"""The data of a training run: any format, divided, checked, and written down so that the run can be resumed."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskrcnn.config import DataSettings
from maskrcnn.data.checks import blocking, check_splits
from maskrcnn.data.checks.annotation_checks import annotation_name
from maskrcnn.data.coco import CocoDataset, load_coco
from maskrcnn.data.formats.assembling import Annotations
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.formats.splitting import group_by, split_dataset
from maskrcnn.data.problems import Problem
from maskrcnn.report.export import write_json
from maskrcnn.training.records import say

MAX_DECODED = 2000
"""Up to so many images are decoded to check them; of more only the headers are read."""
HARMLESS = ("xyxy-boxes",)
"""Errors of boxes alone, said of one annotation for all: training takes boxes from the masks."""
MAX_NAMED = 10
"""Problems that an error names; the rest are counted."""


def prepare_data(data: DataSettings, seed: int, folder: Path) -> DataSettings:
    """Read, divide and check what `data` names; gives COCO files, in `folder` unless they are used as they are.

    Raises:
        FileNotFoundError: a file or folder that is not there.
        ValueError: no known format, no set to train on, or errors in the data of kinds that `data.allow` does not name.
    """
    if data.train is None:
        raise ValueError("expected --data PATH, the annotations to train on (or data.train in the configuration)")
    sets = _chosen_sets(data, seed)
    if data.crowd_as_objects:
        sets = {name: _without_crowds(one) for name, one in sets.items()}
    problems = [problem for one in sets.values() for problem in one.problems]
    num_images = sum(len(one.coco.get("images", ())) for one in sets.values())
    in_files = {name: data.train if name == "train" else data.val or data.train for name in sets}
    coco_and_folder = {name: (one.coco, one.image_folder) for name, one in sets.items()}
    # Two sets from one place need two names, or an annotation that is bad in one would go from the other too.
    called = {name: f if list(in_files.values()).count(f) == 1 else f"{f} ({name})" for name, f in in_files.items()}
    problems += check_splits(coco_and_folder, called, pixels=num_images <= MAX_DECODED, progress=True)
    _report(problems, data.allow)
    paths: dict[str, str] = {}
    for name, one in sets.items():
        source = Path(in_files[name])
        if source.is_file() and not _tolerated(problems) and _is_whole_file(one, source, data):
            paths[name] = str(source.resolve())
        else:
            paths[name] = str((folder / f"{name}.json").resolve())
            write_json(Path(paths[name]), _without(one, name, called[name], _tolerated(problems)).coco)
    val_images = str(sets["val"].image_folder.resolve()) if "val" in sets else None
    return data.model_copy(
        update={
            "train": paths["train"],
            "val": paths.get("val"),
            "images": str(sets["train"].image_folder.resolve()),
            "val_images": val_images,
        }
    )


def load_data(data: DataSettings) -> tuple[CocoDataset, CocoDataset | None]:
    """The sets to train on and to evaluate on, from the COCO files of a run."""
    if data.train is None or data.images is None:
        raise ValueError("expected data.train and data.images in the run's configuration")
    train = load_coco(data.train, data.images)
    return train, load_coco(data.val, data.val_images or data.images) if data.val is not None else None


def _chosen_sets(data: DataSettings, seed: int) -> dict[str, Annotations]:
    """`train`, and `val` where there is one: given, in the data, or divided off."""
    assert data.train is not None
    images = Path(data.images) if data.images is not None else None
    found = read_dataset(Path(data.train), images)
    train = found.get("train") or found.get("all")
    if train is None:
        raise ValueError(f"{data.train}: no set called train; there are {', '.join(found)}")
    if data.val is not None:
        val_images = Path(data.val_images) if data.val_images is not None else images
        others = read_dataset(Path(data.val), val_images)
        val = others.get("val") or others.get("all") or next(iter(others.values()))
        return {"train": train, "val": val}
    if "val" in found:
        return {"train": train, "val": found["val"]}
    if data.val_fraction:
        names = [str(record.get("file_name")) for record in train.coco["images"]]
        group_of = group_by(data.group_key, names) if data.group_key is not None else None
        train, val = split_dataset(train, data.val_fraction, seed, group_of)
        return {"train": train, "val": val}
    return {"train": train}


def _without_crowds(one: Annotations) -> Annotations:
    """`one` with every annotation an object."""
    annotations = [a | {"iscrowd": 0} if isinstance(a, dict) else a for a in one.coco["annotations"]]
    return replace(one, coco={**one.coco, "annotations": annotations})


def _report(problems: list[Problem], allowed: Collection[str]) -> None:
    """Stop for errors; say in a line what else was found."""
    errors = blocking(problems, allowed)
    if errors:
        named = "; ".join(_line(problem) for problem in errors[:MAX_NAMED])
        more = f"; and {len(errors) - MAX_NAMED} more" if len(errors) > MAX_NAMED else ""
        kinds = " ".join(sorted({problem.kind for problem in errors}))
        raise ValueError(
            f"{len(errors)} errors in the data: {named}{more}. tools/check_dataset.py shows them all; "
            f"--allow {kinds} leaves those annotations and images out"
        )
    counts = Counter((problem.severity, problem.kind) for problem in problems)
    if counts:
        listed = ", ".join(f"{number} {kind} ({severity})" for (severity, kind), number in sorted(counts.items()))
        say(f"the data: {listed}; tools/check_dataset.py tells more")


def _line(problem: Problem) -> str:
    where = f"annotation {problem.annotation_id} in {problem.file}" if problem.annotation_id else problem.file
    return f"{where}: {problem.reason} ({problem.kind})"


def _tolerated(problems: list[Problem]) -> list[Problem]:
    """Errors that got this far, because they are allowed."""
    return [problem for problem in problems if problem.severity == "error"]


def _is_whole_file(one: Annotations, source: Path, data: DataSettings) -> bool:
    """Whether a set is the COCO file it came from, so that it needs no copy."""
    is_divided = (data.val is None and bool(data.val_fraction)) or data.crowd_as_objects
    return source.suffix.lower() == ".json" and not is_divided and not one.problems and "images" in one.coco


def _without(one: Annotations, name: str, called: str, tolerated: list[Problem]) -> Annotations:
    """The set `name`, `called` so in problems, less the annotations and images that have errors the user allows."""
    bad: dict[str, set[str]] = {}
    for problem in tolerated:
        if problem.file == called and problem.annotation_id and problem.kind not in HARMLESS:
            bad.setdefault(problem.annotation_id, set()).add(problem.kind)
    # A picture in both sets stays where it is trained on.
    bad_files = {
        p.file for p in tolerated if not p.annotation_id and (name, p.kind) != ("train", "image-in-two-splits")
    }
    images = [record for record in one.coco["images"] if str(one.image_folder / record["file_name"]) not in bad_files]
    kept_images = {record["id"] for record in images}
    annotations: list[dict[str, Any]] = []
    seen: set[str] = set()
    for position, annotation in enumerate(one.coco["annotations"]):
        key = annotation_name(annotation, position)
        kinds = bad.get(key, set()) - ({"duplicate-annotation-id"} if key not in seen else set())
        seen.add(key)
        if not kinds and annotation["image_id"] in kept_images:
            annotations.append(annotation)
    coco: Mapping[str, object] = {**one.coco, "images": images, "annotations": annotations}
    return replace(one, coco=dict(coco))
