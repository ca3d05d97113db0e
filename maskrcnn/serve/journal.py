"""A file that only grows, one JSON value a line, each on the disk before the next: a kill costs at most the last."""

import json
import os
from pathlib import Path
from typing import Any

from maskrcnn.files import NO_LINK
from maskrcnn.report.written import json_text


def append(path: Path, value: Any) -> None:
    """Add a line, and wait until the disk has it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK, 0o644)
    try:
        line = memoryview(f"{json_text(value)}\n".encode("utf-8", "backslashreplace"))
        while line:
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def recover(path: Path) -> list[Any]:
    """The values of a journal, whose last line is removed where a kill tore it.

    Raises:
        ValueError: a line before the last is no JSON; names the file and the line.
    """
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    values = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            raise ValueError(f"{path}: line {number} is not valid JSON; somebody else has written to it") from None
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return values
