"""Text files of a line for each thing, which a stranger may have written: within limits, whatever their bytes are."""

from pathlib import Path

MAX_BYTES = 64 << 20
"""Of one file: lists of a million images have 50 MB, the polygons of 10,000 objects in one image 20 MB."""
MAX_LINES = 1_000_000
"""A line of one letter becomes an object of a thousand bytes."""


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, without a mark at the beginning; other bytes become question marks.

    Raises:
        OSError: it cannot be opened.
        ValueError: larger than the limits; names the file.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: the file has more than {MAX_BYTES} bytes, which no list has")
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    if len(lines) > MAX_LINES:
        raise ValueError(f"{path}: the file has {len(lines)} lines, more than the {MAX_LINES} that are read")
    return lines
