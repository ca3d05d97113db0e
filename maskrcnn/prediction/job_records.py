"""What is known of every page that is done, on disk as soon as it is, so that a stopped job goes on from there.

A record is a line: a checksum, and JSON of the page, its file's state, the settings, counts and annotations.
"""

import hashlib
import io
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple

import torch
from pydantic import Field

import maskrcnn
from maskrcnn.data.pages import Reading
from maskrcnn.files import atomic_path
from maskrcnn.prediction.file_state import FileState, is_current_state
from maskrcnn.prediction.job_parts import (
    Annotation,
    PartsFile,
    Preview,
    Strict,
    checked_line,
    is_part,
    parse_part,
    text_of,
)
from maskrcnn.prediction.job_predictor import JobPredictor
from maskrcnn.report.selection import Selection

IN_MEMORY_BYTES = 64 << 20
"""Records of a single image stay in memory up to this, and go to a temporary file beyond."""

Number = Annotated[int, Field(ge=0)]


class JobPage(NamedTuple):
    """What a job counts by itself: a page of a file, or a file that holds one picture."""

    file: Path
    number: int | None = None
    """Of the page, from 0; None where the file holds one picture."""
    num: int = 1
    """Pages of the file."""

    def __str__(self) -> str:
        return str(self.file) if self.number is None else f"{self.file} page {self.number}"


class _Record(Strict):
    settings: str
    file: FileState
    page: Number | None = None
    pages: Annotated[int, Field(ge=1)] = 1
    """Of the file."""
    place: dict[str, Number] = Field(default_factory=dict)
    pixel_um: list[float] | None = None
    """Height and width."""
    drawing: list[str | int] | None
    """Name, bytes, mtime in ns."""
    size: Annotated[list[Number], Field(min_length=2, max_length=2)]
    counts: dict[str, Number]
    ceilings: list[str]
    notes: list[str] = Field(default_factory=list)
    doubles: Number
    annotations: list[Annotation]
    measured: dict[str, list[int | float | None]] = Field(default_factory=dict)
    outlines: list[list[list[list[float]]]] = Field(default_factory=list)
    """Of each annotation the parts, of each part its rings, outer first, x y x y ...; [] where they were not asked
    for, or the pixels are all that is known."""
    preview: Preview | None = None
    """For report.html; None where that was not asked for."""
    parts: Number = 0
    """Lines before this one that hold the annotations and measurements of a slide, a part each."""
    part_bytes: Number = 0
    """Of these lines."""


@dataclass(frozen=True, slots=True)
class Done:
    """A page that is done; its annotations stay in the record."""

    image_size: tuple[int, int]
    """(height, width)."""
    counts: dict[str, int]
    """By class name; classes without an object are left out."""
    ceilings: tuple[str, ...]
    notes: tuple[str, ...]
    """How it was done, where not in the usual way."""
    num_doubles: int
    """Pairs of objects that may be one."""
    measured: tuple[str, ...]
    """Names of what was measured of each object."""
    place: dict[str, int]
    """Of the page along axes with a meaning."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel, where the file says it."""
    source: Path | IO[bytes]
    offset: int
    """Where the record begins in `source`, bytes."""
    has_preview: bool
    num_parts: int
    part_bytes: int
    """Of the lines before it that belong to it."""


class Records:
    """The records of one job in `folder`, or in memory where that is None.

    Each process appends to a file of its own, a line at a time, so a kill costs at most the line it interrupts. Several
    threads may `add`.

    Args:
        settings: what the results depend on besides the picture; records that were made with others do not count.
    """

    def __init__(self, folder: Path | None, settings: str) -> None:
        self.done: dict[JobPage, Done] = {}
        self._folder = folder
        self._settings = settings
        self._own: IO[bytes] | None = None
        self._lock = threading.Lock()

    def add(
        self,
        page: JobPage,
        state: FileState,
        drawing: Path | None,
        image_size: tuple[int, int],
        counts: Mapping[str, int],
        annotations: Sequence[Mapping[str, Any]],
        ceilings: Sequence[str] = (),
        num_doubles: int = 0,
        notes: Sequence[str] = (),
        measured: Mapping[str, Sequence[int | float | None]] | None = None,
        place: Mapping[str, int] | None = None,
        pixel_size_um: tuple[float, float] | None = None,
        outlines: Sequence[Any] = (),
        preview: Mapping[str, Any] | None = None,
        parts: PartsFile | None = None,
    ) -> None:
        """Record that `page`, whose file was in that `state_of` when it was read, is done and drawn in `drawing`.

        `measured` has, by name, a number for each of the `annotations`; those of a slide are in `parts` instead.

        Raises:
            ValueError: a NaN or an infinity among the annotations.
            OSError: the line cannot be written; what was written before still counts.
        """
        record = {
            "settings": self._settings,
            "file": state.model_dump(),
            "page": page.number,
            "pages": page.num,
            "place": dict(place or {}),
            "pixel_um": pixel_size_um,
            "drawing": drawing and _drawing_state(drawing),
            "size": image_size,
            "counts": {name: number for name, number in counts.items() if number},
            "ceilings": ceilings,
            "notes": notes,
            "doubles": num_doubles,
            "annotations": annotations,
            "measured": measured or {},
            "outlines": outlines,
            "preview": preview,
        }
        if parts is not None:
            measured = {name: [] for name in parts.columns}
            record |= {"measured": measured, "parts": len(parts.lines), "part_bytes": sum(parts.lines)}
        text = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
        with self._lock:
            if self._own is None:
                self._own = self._create()
            start = self._own.tell()
            try:
                for piece in parts.pieces() if parts is not None else ():
                    _append(self._own, piece)
                offset = self._own.tell()
                _append(self._own, checked_line(text))
            except OSError:
                with suppress(OSError):
                    self._own.truncate(start)
                    self._own.seek(start)
                raise
            source = self._own if self._folder is None else Path(self._own.name)
            self.done[page] = _done(_Record.model_construct(**record), source, offset)

    def load(self, files: Iterable[Path], drawing_of: Callable[[JobPage], Path | None]) -> int:
        """Take up the records on disk of those `files` that have not changed since; gives how many are damaged.

        A page that `drawing_of` gives a place must have been drawn there, and the drawing must be as it was left.
        """
        by_path = {os.path.realpath(file): file for file in files}
        is_current: dict[tuple[Path, FileState], bool] = {}  # all pages of a file share what is found out about it
        num_damaged = 0
        for source in self._sources():
            with source.open("rb") as lines:
                offset = 0
                for line in lines:
                    if is_part(line):  # its checksum is for who reads it
                        offset += len(line)
                        continue
                    record = _parse(line)
                    num_damaged += record is None
                    if record is not None and record.settings == self._settings:
                        file = by_path.get(record.file.path)
                        if file is None:
                            offset += len(line)
                            continue
                        if (file, record.file) not in is_current:
                            is_current[file, record.file] = is_current_state(record.file, file)
                        page = JobPage(file, record.page, record.pages)
                        if is_current[file, record.file] and _is_drawn(record, drawing_of(page)):
                            self.done[page] = _done(record, source, offset)
                    offset += len(line)
        return num_damaged

    def forget(self) -> None:
        """Delete what earlier jobs left on disk."""
        for source in self._sources():
            source.unlink(missing_ok=True)

    def objects(self, page: JobPage) -> Iterator[tuple[list[dict[str, Any]], dict[str, list[int | float | None]]]]:
        """What was recorded of a page that is done, a part at a time: annotations, and by name what was measured of
        each of them.

        Raises:
            RuntimeError: the record was changed meanwhile.
        """
        done = self.done[page]
        if not done.part_bytes:
            record = self._record(page)
            yield [annotation.model_dump() for annotation in record.annotations], record.measured
            return
        with done.source.open("rb") if isinstance(done.source, Path) else nullcontext(done.source) as lines:
            at = done.offset - done.part_bytes
            for _ in range(done.num_parts):
                lines.seek(at)
                line = lines.readline()
                at += len(line)
                try:
                    part = parse_part(line)
                except ValueError:
                    raise self._changed() from None
                yield [annotation.model_dump() for annotation in part.annotations], part.measured

    def annotations(self, page: JobPage) -> list[dict[str, Any]]:
        """All annotations of a page that is done, at once.

        Raises:
            RuntimeError: the record was changed meanwhile.
        """
        return [one for annotations, _ in self.objects(page) for one in annotations]

    def _record(self, page: JobPage) -> _Record:
        record = _parse(self._line(self.done[page]))
        if record is None:
            raise self._changed()
        return record

    def _changed(self) -> RuntimeError:
        return RuntimeError(f"{self._folder}: a record was changed while it was in use; start again")

    def outlines(self, page: JobPage) -> list[list[list[list[float]]]]:
        """Smooth outlines of each of its annotations, where they were recorded, or [].

        Raises:
            RuntimeError: the record was changed meanwhile.
        """
        return self._record(page).outlines

    def preview(self, page: JobPage) -> dict[str, Any]:
        """What `maskrcnn.report.preview` made of a page that is done, if that was recorded, or {}.

        Raises:
            RuntimeError: the record was changed meanwhile.
        """
        preview = self._record(page).preview
        return {} if preview is None else preview.model_dump()

    def compact(self) -> None:
        """Leave on disk only what is done, in one file; this object is of no use any more."""
        if self._folder is None:
            return
        old = self._sources()
        with atomic_path(self._new_path()) as temporary, temporary.open("wb") as lines:
            for done in self.done.values():
                assert isinstance(done.source, Path)
                with done.source.open("rb") as source:
                    source.seek(done.offset - done.part_bytes)
                    for _ in range(done.num_parts + 1):
                        lines.write(source.readline())
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

    def _create(self) -> IO[bytes]:
        if self._folder is None:
            return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)
        self._folder.mkdir(parents=True, exist_ok=True)
        return io.FileIO(str(self._new_path()), "x")

    def _new_path(self) -> Path:
        assert self._folder is not None
        return self._folder / f"{uuid.uuid4().hex}.jsonl"

    def _sources(self) -> list[Path]:
        files = sorted(self._folder.glob("*.jsonl")) if self._folder is not None else []
        return [file for file in files if file.is_file()]  # a pipe would be waited for


def settings_key(
    predictor: JobPredictor,
    labels: Sequence[int],
    reading: Reading,
    selection: Selection | None = None,
    label_mode: str = "auto",
    *,
    smooth: bool = False,
) -> str:
    """A hash of what decides on the results: weights, settings, precision, the `labels` that are kept, the version,
    the tiles, how files are read, the `selection` of what is counted, what is written in drawings and whether
    there are `smooth` outlines.

    The device and the batch size, which change the last digits, are not in it.
    """
    own, tensors = predictor.identity()
    settings = [maskrcnn.__version__, *own, sorted(labels)]
    settings += ["pages", reading.channel, reading.planes, str(selection or ""), label_mode]
    settings += ["smooth outlines"] * smooth
    digest = hashlib.sha256(json.dumps(settings).encode())
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _drawing_state(drawing: Path) -> list[str | int]:
    status = drawing.stat()
    return [drawing.name, status.st_size, status.st_mtime_ns]


def _append(file: IO[bytes], line: bytes) -> None:
    """Write all of `line` or nothing, without a buffer that would be written later."""
    start = file.tell()
    try:
        written = 0
        while written < len(line):
            written += file.write(line[written:])
    except OSError:
        with suppress(OSError):
            file.truncate(start)
            file.seek(start)
        raise


def _parse(line: bytes) -> _Record | None:
    """The record in a line; None where a kill cut it off, or anything else damaged it."""
    text = text_of(line)
    if text is None:
        return None
    try:
        return _Record.model_validate(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _done(record: _Record, source: Path | IO[bytes], offset: int) -> Done:
    return Done(
        image_size=(record.size[0], record.size[1]),
        counts=record.counts,
        ceilings=tuple(record.ceilings),
        notes=tuple(record.notes),
        num_doubles=record.doubles,
        measured=tuple(record.measured),
        place=record.place,
        pixel_size_um=(record.pixel_um[0], record.pixel_um[1]) if record.pixel_um else None,
        source=source,
        offset=offset,
        has_preview=record.preview is not None,
        num_parts=record.parts,
        part_bytes=record.part_bytes,
    )


def _is_drawn(record: _Record, drawing: Path | None) -> bool:
    try:
        return drawing is None or record.drawing == _drawing_state(drawing)
    except OSError:  # it is gone
        return False
