"""Every annotation format, through what checks, converts and trains on it."""

import hashlib
import json
import random
from functools import partial
from pathlib import Path
from typing import Any

from fuzzing.annotation_sets import SETS, write_set
from fuzzing.children import MAX_MESSAGE, SilentDifferenceError, Target
from fuzzing.mutations import damaged_bytes, damaged_tree, damaged_xml, damaged_zip
from maskrcnn.config import DataSettings
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.problems import KINDS, MEANINGS, DataError
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.dataset_check import check_dataset
from maskrcnn.report.dataset_text import problems_text
from maskrcnn.report.written import write_json
from maskrcnn.training.data import prepare_data

SPLIT_SEED = 0
ALLOWED = tuple(name for name, kind in KINDS.items() if kind.severity == "error" and kind.can_be_allowed)


def _make(name: str, folder: Path, rng: random.Random) -> None:
    files = SETS[name]()
    bad = rng.choice(sorted(files))
    if rng.random() < 0.3:  # what says where the objects are, rather than one of its many images
        bad = next((path for path in sorted(files) if not path.endswith(".png")), bad)
    write_set(folder / "set", files | {bad: damaged_file(bad, files[bad], rng)})


def damaged_file(path: str, content: Any, rng: random.Random) -> bytes:
    """Its values exchanged as far as the format of the file is known, or its bytes; now and then as it is."""
    if not isinstance(content, bytes):
        tree = damaged_tree(content, rng) if rng.random() < 0.6 else content
        data = json.dumps(tree).encode("utf-8", "surrogatepass")
        return damaged_bytes(data, rng) if rng.random() < (0.6 if tree is content else 0.2) else data
    if path.endswith(".xml") and rng.random() < 0.7:
        return damaged_xml(content, rng)
    if path.endswith(".zip") and rng.random() < 0.7:
        return damaged_zip(content, rng)
    return damaged_bytes(content, rng)


def _data(folder: Path) -> Path:
    files = sorted((folder / "set").glob("*.json"))
    return files[0] if len(files) == 1 else folder / "set"


def _check(folder: Path) -> str:
    check = check_dataset(_data(folder))
    told = f"{check.verdict} {_digest(check.text())}"
    if not check.is_usable:
        raise ValueError(told)
    return told


def _page(folder: Path) -> str:
    check = check_dataset(_data(folder))
    return check.write(folder / "out").read_text(encoding="utf-8")[-300:] + check.verdict


def _convert(folder: Path) -> str:
    """Written as COCO and read again, which must be the same objects."""
    told = ""
    splits = read_dataset(_data(folder), None)
    for split, annotations in splits.items():
        annotations = annotations.without_missing_images().usable()
        path = folder / f"{split}.json"
        write_json(path, annotations.coco)
        again = load_annotations(path, annotations.image_folder)
        numbers = (len(annotations), len(annotations.names)), (len(again), len(again.names))
        if numbers[0] != numbers[1]:
            raise SilentDifferenceError(f"{split}: (images, objects) were {numbers[0]}, read from COCO {numbers[1]}")
        told += f"{split} {_digest(path.read_text(encoding='utf-8'))} "
    rows = [problem.row_of_table() for one in splits.values() for problem in one.problems]
    told += problems_text(rows, MEANINGS) if rows else ""
    if any(row[0] == "error" for row in rows):
        raise ValueError(_digest(told))
    return told


def _train(folder: Path) -> str:
    """As it is, and where that is refused without what has errors that may be allowed."""
    settings = DataSettings(train=str(_data(folder)), val_fraction=0.5)
    try:
        told, sets = "", prepare_data(settings, SPLIT_SEED, folder / "prepared")
    except DataError as error:
        if len(str(error)) > MAX_MESSAGE:
            raise
        allowed = settings.model_copy(update={"allow": ALLOWED})
        told, sets = str(error), prepare_data(allowed, SPLIT_SEED, folder / "prepared")
    _, (train, val) = sets
    return f"{told} {len(train)} {len(train.names)} {len(val) if val is not None else None}"


def _digest(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogatepass")).hexdigest()


ANNOTATION_TARGETS = (
    *(
        Target(f"{door}-{name}", partial(_make, name), read)
        for name in SETS
        for door, read in (("check", _check), ("convert", _convert), ("train", _train))
    ),
    *(Target(f"page-{name}", partial(_make, name), _page, share=0.05) for name in SETS),
)
