"""The folder that one format is written to: whole files, what is ours, and what the format could not hold."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from maskrcnn.files import atomic_path
from maskrcnn.report.written import json_text

LIST_NAME = ".written"
"""Beside the files: which of them an export wrote, so that the next one may replace and remove those."""


@dataclass(frozen=True)
class ExportFolder:
    """Where a format's module puts its files."""

    root: Path
    class_names: tuple[str, ...]
    may_replace: bool = False
    """Also files that no earlier export wrote."""
    lost: Counter[str] = field(default_factory=Counter)
    """What the format cannot hold, in words, and how many there were of it."""
    written: set[str] = field(default_factory=set)

    @cached_property
    def _before(self) -> set[str]:
        try:
            before = json.loads((self.root / LIST_NAME).read_bytes())
            return {name for name in before if isinstance(name, str) and self._is_inside(name)}
        except (OSError, ValueError, TypeError, RecursionError):
            return set()

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A path to write to, which becomes the file `name` of the folder when the block ends well.

        Raises:
            FileExistsError: there is a file of that name that no export wrote.
        """
        path = self.root / name
        if os.path.lexists(path) and not self.may_replace and name not in self._before:
            raise FileExistsError(f"{path}: a file that no earlier export wrote would be overwritten")
        with atomic_path(path) as temporary:
            yield temporary
        self.written.add(name)

    @contextmanager
    def text(self, name: str) -> Iterator[IO[str]]:
        """The same as an open text file in UTF-8, whose lines end with a line feed."""
        with self.file(name) as path, path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file

    def finish(self) -> None:
        """Remove what earlier exports wrote and this one did not, and note what is ours."""
        for name in self._before - self.written:
            (self.root / name).unlink(missing_ok=True)
        with atomic_path(self.root / LIST_NAME) as path:
            path.write_text(json.dumps(sorted(self.written)), encoding="utf-8")

    def _is_inside(self, name: str) -> bool:
        return not Path(name).is_absolute() and ".." not in Path(name).parts


def write_list(file: IO[str], items: Iterator[Any] | Sequence[Any]) -> None:
    """A JSON list, one item at a time."""
    file.write("[")
    for i, item in enumerate(items):
        file.write(",\n" * bool(i) + json_text(item))
    file.write("]")


class OpenList:
    """A JSON list in a file that grows as items come."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._num = 0

    def add(self, item: Any) -> None:
        """Write one more item."""
        self._file.write(("," if self._num else "") + "\n" + json_text(item))
        self._num += 1
