"""Lines with a checksum, and the objects of a slide in lines of their own, so that no more than a part is in memory."""

import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_CHECKSUM_BYTES = 9  # 8 digits and a space
_PART = b"part "
"""How the text of a line begins that holds objects of a slide."""


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class _Rle(Strict):
    size: list[int]
    counts: str


class Annotation(Strict):
    """As `coco_dict` makes it, without the numbers that it has among all."""

    category_id: int
    score: float
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)]
    area: int
    iscrowd: int
    segmentation: _Rle


class Part(Strict):
    """Objects of a slide."""

    annotations: list[Annotation]
    measured: dict[str, list[int | float | None]]


class Preview(Strict):
    """As `maskrcnn.report.preview` makes it."""

    picture: str
    shaded: str = ""
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    labels: list[int]
    scores: list[float]
    paths: list[str]
    unsure: list["UnsureObject"]


class UnsureObject(Strict):
    """One of the objects of which the network is least sure."""

    number: int
    label: int
    score: float
    picture: str
    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    path: str


class PartsFile:
    """The objects of a slide in a temporary file, for their number knows no bound; `close` it after use.

    Args:
        folder: where there is room for it.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by `close`)
        self.lines: list[int] = []
        """Bytes of each part."""
        self.columns: tuple[str, ...] = ()
        """Names of what was measured."""

    def add(
        self, annotations: Sequence[Mapping[str, Any]], measured: Mapping[str, Sequence[int | float | None]]
    ) -> None:
        """The next objects, and by name a number for each of them."""
        part = {"annotations": annotations, "measured": measured}
        text = _PART + json.dumps(part, allow_nan=False, separators=(",", ":")).encode()
        self.lines.append(self.file.write(checked_line(text)))
        self.columns = tuple(measured)

    def part(self, number: int) -> list[dict[str, Any]]:
        """The annotations of a part."""
        self.file.seek(sum(self.lines[:number]))
        found = [one.model_dump() for one in parse_part(self.file.readline()).annotations]
        self.file.seek(0, os.SEEK_END)
        return found

    def close(self) -> None:
        self.file.close()

    def pieces(self) -> Iterator[bytes]:
        """All lines, a few MB at a time."""
        self.file.seek(0)
        while piece := self.file.read(1 << 22):
            yield piece


def checked_line(text: bytes) -> bytes:
    """A text as a line that begins with its checksum."""
    return b"%08x %s\n" % (zlib.crc32(text), text)


def text_of(line: bytes) -> bytes | None:
    """The text in a line; None where a kill cut it off, or anything else damaged it."""
    checksum, text = line[:_CHECKSUM_BYTES], line[_CHECKSUM_BYTES:].removesuffix(b"\n")
    return text if checksum == b"%08x " % zlib.crc32(text) else None


def is_part(line: bytes) -> bool:
    """Whether a line holds objects of a slide."""
    return line[_CHECKSUM_BYTES:].startswith(_PART)


def parse_part(line: bytes) -> Part:
    """The objects in a line; ValueError where it is damaged."""
    text = text_of(line)
    if text is None or not is_part(line):
        raise ValueError("the line is damaged")
    return Part.model_validate(json.loads(text.removeprefix(_PART)))
