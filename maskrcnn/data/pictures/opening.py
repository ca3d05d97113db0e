"""Open a picture file, know its format by its content, and say in one sentence what a decoder finds wrong with it."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from maskrcnn.data.pictures.finding import missing_file
from maskrcnn.data.pictures.kinds import START_BYTES, recognise
from maskrcnn.data.pictures.limits import ImageError


@contextmanager
def opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """A regular file, opened; anything else is refused without waiting for it.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: anything else that is no file, or cannot be read.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        error = missing_file(path, "image file")
        raise error if isinstance(error, FileNotFoundError) else ImageError(str(error)) from None
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
        what = next((noun for is_kind, noun in kinds if is_kind(mode)), "device")
        raise ImageError(f"{name}: expected an image file, got a {what}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{name}: the image file cannot be read ({_reason(error)})") from error
    with file:
        yield file


@contextmanager
def one_sentence(name: str) -> Iterator[None]:
    """Whatever a decoder raises becomes an `ImageError` that names the file: one picture must not end a job."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name}: there is not enough memory to decode the image") from error
    except Exception as error:
        raise ImageError(f"{name}: the image is damaged and cannot be decoded ({_reason(error)})") from error


def format_of(file: BinaryIO, extension: str, name: str) -> str:
    """One of `maskrcnn.data.pictures.kinds.READ`.

    Raises:
        ImageError: empty, or of another format, which it names where that is known.
    """
    start = file.read(START_BYTES)
    if not start:
        raise ImageError(f"{name}: the image file is empty (0 bytes)")
    file.seek(0)
    format, otherwise = recognise(start, extension)
    if format is None and otherwise:
        raise ImageError(f"{name}: not an image that can be read: it is {otherwise}")
    if format is None:
        raise ImageError(f"{name}: not an image in a known format (the file begins with {start[:16]!r})")
    return format


def _reason(error: Exception) -> str:
    """What a library said, short and printable: it may quote the file."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
