"""What the network found in the frames of a film, on disk as soon as it is known: a stopped job goes on from there.

A record is a line with a checksum, a frame each, in their order. Tracks, lines and drawings are made of them anew,
which takes a small part of the network's time, so that they may change from run to run.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

from maskrcnn.data.films.frame import Choice
from maskrcnn.prediction.file_state import FileState
from maskrcnn.prediction.job_parts import Strict, checked_line, text_of
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import crop
from maskrcnn.structures.runs import Runs


class _Found(Strict):
    frame: int
    size: tuple[int, int]
    boxes: list[tuple[float, float, float, float]]
    labels: list[int]
    scores: list[float]
    masks: list[str]
    ceilings: list[str]


class FilmRecords:
    """The records of the film that was in `state` when the job began, under settings that `settings` stands for.

    Those that are whole and in order count; what comes after a damaged one is forgotten.
    """

    def __init__(self, folder: Path, settings: str, state: FileState, choice: Choice) -> None:
        facts = json.dumps([settings, state.model_dump(), choice.every, choice.start_s])
        self.path = folder / f"film-{hashlib.sha256(facts.encode()).hexdigest()[:32]}.jsonl"
        self._own: IO[bytes] | None = None
        self.num_done, self._num_bytes = self._whole()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """The number of each frame that is done, and its record for `found_in`."""
        if not self.num_done:
            return
        with self.path.open("rb") as lines:
            for _ in range(self.num_done):
                text = text_of(lines.readline())
                if text is None:
                    raise RuntimeError(f"{self.path}: a record was changed while it was in use; start again")
                yield json.loads(text)["frame"], text.decode()

    def add(self, frame: int, found: Instances) -> None:
        """Record the next frame.

        Raises:
            OSError: it cannot be written.
        """
        if self._own is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._own = self.path.open("r+b" if self.path.exists() else "wb")
            self._own.truncate(self._num_bytes)
            self._own.seek(self._num_bytes)
        self._own.write(checked_line(record_of(frame, found).encode()))
        self._own.flush()

    def forget(self) -> None:
        """Do all again."""
        self.path.unlink(missing_ok=True)
        self.num_done = self._num_bytes = 0

    def close(self) -> None:
        if self._own is not None:
            self._own.close()

    def _whole(self) -> tuple[int, int]:
        """How many records are whole and in order, and their bytes."""
        num = size = 0
        last = -1
        try:
            with self.path.open("rb") as lines:
                for line in lines:
                    text = text_of(line)
                    try:
                        found = _Found.model_validate_json(text) if text is not None else None
                    except ValueError:
                        found = None
                    if found is None or found.frame <= last:
                        break
                    num, size, last = num + 1, size + len(line), found.frame
        except OSError:
            return 0, 0
        return num, size


def record_of(frame: int, found: Instances) -> str:
    """The record of a frame; `found_in` is the inverse, but that masks are known by their pixels."""
    record = {
        "frame": frame,
        "size": found.image_size,
        "boxes": found.boxes.tolist(),
        "labels": found.labels.tolist(),
        "scores": found.scores.tolist(),
        "masks": [rle["counts"] for rle in found.rles()],
        "ceilings": found.ceilings,
    }
    return json.dumps(record, allow_nan=False, separators=(",", ":"))


def found_in(record: str, class_names: tuple[str, ...]) -> Instances:
    """The objects of a record."""
    found = _Found.model_validate_json(record)
    crops = [crop({"size": list(found.size), "counts": counts}) for counts in found.masks]
    return Instances(
        image_size=found.size,
        boxes=torch.tensor(found.boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(found.labels, dtype=torch.int64),
        scores=torch.tensor(found.scores, dtype=torch.float32),
        mask_probs=torch.zeros(len(found.boxes), 1, 1),
        class_names=class_names,
        ceilings=tuple(found.ceilings),
        pixels=Runs.of_crops(crops, found.size),
    )
