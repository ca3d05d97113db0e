"""What is known of every picture that is done, on disk as soon as it is, so that a stopped job goes on from there.

A record is a line of JSON: the picture's file and its state, the settings, the counts and the annotations.
"""

import hashlib
import io
import json
import os
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

import maskrcnn
from maskrcnn.files import atomic_path
from maskrcnn.prediction.predictor import Predictor

State = list[str | int]


@dataclass(frozen=True, slots=True)
class Done:
    """A picture that is done; its annotations stay in the record."""

    image_size: tuple[int, int]
    """(height, width)."""
    counts: dict[str, int]
    """By class name; classes without an object are left out."""
    ceilings: tuple[str, ...]
    num_doubles: int
    """Pairs of objects that may be one."""
    source: Path | BinaryIO
    offset: int
    """Where the record begins in `source`, bytes."""


class Records:
    """The records of one job in `folder`, or in memory where that is None.

    Each process appends to a file of its own, a line at a time, so a kill costs at most the line it interrupts. Several
    threads may `add`.

    Args:
        settings: what the results depend on besides the picture; records that were made with others do not count.
    """

    def __init__(self, folder: Path | None, settings: str) -> None:
        self.done: dict[Path, Done] = {}
        self._folder = folder
        self._settings = settings
        self._own: BinaryIO | None = None
        self._lock = threading.Lock()

    def add(
        self,
        file: Path,
        state: State,
        figure: Path | None,
        image_size: tuple[int, int],
        counts: Mapping[str, int],
        annotations: Sequence[Mapping[str, Any]],
        ceilings: Sequence[str] = (),
        num_doubles: int = 0,
    ) -> None:
        """Record that `file`, which was in that `state_of` when it was read, is done and drawn in `figure`.

        Raises:
            ValueError: a NaN or an infinity among the annotations.
        """
        record = {
            "settings": self._settings,
            "file": state,
            "figure": figure and [figure.name, *state_of(figure)[1:]],
            "size": image_size,
            "counts": {name: number for name, number in counts.items() if number},
            "ceilings": ceilings,
            "doubles": num_doubles,
            "annotations": annotations,
        }
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._own is None:
                self._own = self._create()
            offset = self._own.tell()
            self._own.write(line)
            self._own.flush()
            self.done[file] = _done(record, self._own, offset)

    def load(self, files: Iterable[Path], figures: Mapping[Path, Path]) -> None:
        """Take up the records on disk of those `files` that have not changed since.

        A file with a place in `figures` must have been drawn there, and the drawing must be as it was left.
        """
        by_path = {os.path.realpath(file): file for file in files}
        for source in self._sources():
            with source.open("rb") as lines:
                offset = 0
                for line in lines:
                    record = _parse(line)
                    file = by_path.get(record["file"][0]) if record.get("settings") == self._settings else None
                    if file is not None and _is_current(record, file, figures.get(file)):
                        self.done[file] = _done(record, source, offset)
                    offset += len(line)

    def forget(self) -> None:
        """Delete what earlier jobs left on disk."""
        for source in self._sources():
            source.unlink(missing_ok=True)

    def annotations(self, file: Path) -> list[dict[str, Any]]:
        """What was recorded of a file that is done."""
        return _parse(self._line(self.done[file]))["annotations"]

    def compact(self) -> None:
        """Leave on disk only what is done, in one file; this object is of no use any more."""
        if self._folder is None:
            return
        old = self._sources()
        with atomic_path(self._new_path()) as temporary, temporary.open("wb") as lines:
            for done in self.done.values():
                lines.write(self._line(done))
        if self._own is not None:
            self._own.close()
        for source in old:
            source.unlink(missing_ok=True)

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()

    def _line(self, done: Done) -> bytes:
        if isinstance(done.source, Path):
            with done.source.open("rb") as lines:
                lines.seek(done.offset)
                return lines.readline()
        done.source.seek(done.offset)
        return done.source.readline()

    def _create(self) -> BinaryIO:
        if self._folder is None:
            return io.BytesIO()
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._new_path().open("x+b")

    def _new_path(self) -> Path:
        assert self._folder is not None
        return self._folder / f"{uuid.uuid4().hex}.jsonl"

    def _sources(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl")) if self._folder is not None else []


def state_of(file: Path) -> State:
    """Where a file is and what changes when it is written: path without links, bytes, time in ns.

    Raises:
        OSError: a file that is not there.
    """
    status = file.stat()
    return [os.path.realpath(file), status.st_size, status.st_mtime_ns]


def settings_key(predictor: Predictor, labels: Sequence[int]) -> str:
    """A hash of what decides on the results: weights, settings, precision, the `labels` that are kept, the version.

    The device and the batch size, which change the last digits, are not in it.
    """
    settings = [maskrcnn.__version__, predictor.precision, predictor.settings.model_dump(mode="json"), sorted(labels)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for name, tensor in predictor.model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _done(record: Mapping[str, Any], source: Path | BinaryIO, offset: int) -> Done:
    height, width = record["size"]
    return Done((height, width), record["counts"], tuple(record["ceilings"]), record["doubles"], source, offset)


def _parse(line: bytes) -> dict[str, Any]:
    """The record in a line; empty where a kill cut it off."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _is_current(record: Mapping[str, Any], file: Path, figure: Path | None) -> bool:
    try:
        if record["file"] != state_of(file):
            return False
        return figure is None or record["figure"] == [figure.name, *state_of(figure)[1:]]
    except OSError:  # one of them is gone
        return False
