"""Names of what a film's job writes, and which files of a folder are from an earlier one."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from maskrcnn.data.films.frame import Film
from maskrcnn.data.films.opening import FilmLike, is_address
from maskrcnn.data.films.video import without_password
from maskrcnn.prediction.folder_job import RECORDS
from maskrcnn.report.written import is_ours, write_json
from maskrcnn.untrusted.names import utf8

OWN_FILES = "film_files.json"
"""In the folder of records: what earlier jobs wrote, by name, with size and time."""


class OwnFiles:
    """Which files of a folder film jobs wrote, so that none of anybody else is replaced."""

    def __init__(self, out: Path) -> None:
        self._out, self._path = out, out / RECORDS / OWN_FILES
        self._known: dict[str, list[int]] = {}
        with suppress(OSError, ValueError):
            known = json.loads(self._path.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def expect(self, names: Sequence[str]) -> None:
        """Raises FileExistsError where one of these files is there and no job wrote it."""
        others = [name for name in names if os.path.lexists(self._out / name) and not self._is_own(name)]
        if others:
            which = ", ".join(str(self._out / name) for name in others[:3])
            what = "a file" if len(others) == 1 else f"{len(others)} files"
            raise FileExistsError(f"{which}: {what} that no earlier job wrote would be overwritten")

    def add(self, names: Sequence[str]) -> None:
        """Keep in mind that these files are a job's."""
        states = {name: _state(self._out / name) for name in names if (self._out / name).exists()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, self._known | states)

    def _is_own(self, name: str) -> bool:
        path = self._out / name
        return is_ours(path) or (path.is_file() and self._known.get(name) == _state(path))


def film_names(films: Sequence[FilmLike]) -> list[str]:
    """What each film is called in counts.csv, and its folder where there are several."""
    names: list[str] = []
    for film in films:
        if isinstance(film, int):
            name = f"camera{film}"
        elif isinstance(film, str) and is_address(film):
            name = _plain(without_password(film).partition("://")[2])
        elif isinstance(film, str | Path):
            name = utf8(Path(film).name)
        else:
            name = utf8(Path(film[0]).absolute().parent.name) or "sequence"
        number = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({number + 1})" if number else name)
    return names


def film_stem(where: FilmLike, film: Film) -> str:
    """What the files of a film are called after."""
    if isinstance(where, int):
        return f"camera{where}"
    if is_address(where):
        tail = film.name.rstrip("/").rpartition("/")[2]
        return _plain(tail) or "stream"
    return Path(film.name).stem[:100] or "film"


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in text)[:60]


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
