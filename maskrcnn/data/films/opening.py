"""Whatever is a film, opened: a file, an address, a camera, a series of pictures."""

import re
from collections.abc import Sequence
from pathlib import Path

from maskrcnn.data.films.frame import Film
from maskrcnn.data.films.kinds import film_kind
from maskrcnn.data.films.series import SERIES_RATE, PageSeries, PictureSeries
from maskrcnn.data.films.video import Camera, Stream, VideoFile
from maskrcnn.data.pages import Reading

FilmLike = str | Path | int | Sequence[str | Path]
"""The path of a video, GIF or TIFF; an address; the number of a camera; or paths of pictures, in their order."""
ADDRESS = re.compile(r"(rtsps?|rtmps?|https?|udp|tcp|srt)://", re.IGNORECASE)
"""How an address begins. Others that FFmpeg knows (concat:, file:, ...) would read what was not named."""


def is_address(where: object) -> bool:
    """Whether it is the address of a stream."""
    return isinstance(where, str) and ADDRESS.match(where) is not None


def open_film(where: FilmLike, *, frame_rate: float = SERIES_RATE, reading: Reading | None = None) -> Film:
    """A film, opened; close it after use.

    Args:
        frame_rate: in a second, of a series of pictures or pages without times.
        reading: of pictures and pages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a film (`FilmError`, `ImageError`), no such camera, no stream at an address.
    """
    if isinstance(where, int):
        return Camera(where)
    if isinstance(where, str) and is_address(where):
        return Stream(where)
    if not isinstance(where, str | Path):
        return PictureSeries(where, frame_rate, reading)
    if film_kind(where) is None and _is_picture(Path(where)):
        return PageSeries(where, frame_rate, reading)
    return VideoFile(where, reading.max_pixels if reading is not None else None)


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return start.startswith((b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG")) or start[8:12] == b"WEBP"
