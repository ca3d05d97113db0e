"""The pages of the files of a job: what is counted by itself, and how each is read by any thread."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from maskrcnn.data.pages import Page, PictureFile, Reading, Slide, open_pages
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.slides.source import ArraySource
from maskrcnn.prediction.file_state import FileState, state_of
from maskrcnn.prediction.job_records import JobPage
from maskrcnn.untrusted.names import printable


class _Open(NamedTuple):
    path: Path
    state: FileState
    pages: PictureFile


def pages_of(files: Sequence[Path], known: Mapping[Path, int], reading: Reading) -> list[JobPage]:
    """Every page of every file, in order; a file that cannot be opened is one page, and reading that says why.

    Args:
        known: how many pages files have that were looked into before.
    """
    return [page for file in files for page in _pages_of(file, known.get(file) or num_pages(file, reading))]


def num_pages(file: Path, reading: Reading) -> int:
    """Pages of a file, from its header; 1 for one that cannot be opened."""
    try:
        with open_pages(file, reading) as pages:
            return pages.num_pages
    except Exception:  # whoever reads it hears of it
        return 1


def _pages_of(file: Path, num: int) -> list[JobPage]:
    return [JobPage(file)] if num == 1 else [JobPage(file, number, num) for number in range(num)]


class OpenSlide(NamedTuple):
    """A page that is done as a slide; its file is open."""

    slide: Slide
    release: Callable[[], None]

    def close(self) -> None:
        """Its file; the slide is of no use any more."""
        self.release()


class PageReader:
    """Reads pages in any order, from any thread; the file of the last page is kept open while more of it may come.

    Pages of one file are decoded by one thread at a time, whole files by as many as there are.

    Args:
        is_tiled: whether an image of (height, width) is done in tiles: if it is large, too, it is a slide.
    """

    def __init__(self, reading: Reading, is_tiled: Callable[[tuple[int, int]], bool]) -> None:
        self._reading, self._is_tiled = reading, is_tiled
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._open: _Open | None = None

    def read(self, page: JobPage) -> tuple[FileState, Page | OpenSlide]:
        """A page or slide, and the state of its file before it was read.

        Raises:
            OSError, ImageError: it cannot be read, or the file has not as many pages as it had.
        """
        if page.number is None:
            state = _state(page.file)
            return state, self._read_alone(page)
        with self._lock:
            if self._open is None or self._open.path != page.file or _is_changed(self._open):
                self._stack.close()
                self._open = None
                # The state before: should the file be written anew in between, the next job does it again.
                state = _state(page.file)
                self._open = _Open(page.file, state, self._stack.enter_context(open_pages(page.file, self._reading)))
            _expect_as_many(page, self._open.pages)
            if not self._open.pages.is_large(page.number):
                return self._open.state, self._open.pages.read(page.number)
            state = self._open.state
        return state, self._read_alone(page)

    def large(self, page: JobPage) -> tuple[FileState, OpenSlide] | None:
        """A page that is done as a slide, and the state of its file; None for any other, of which the header is read.

        Raises:
            OSError, ImageError: it cannot be read.
        """
        with open_pages(page.file, self._reading) as pages:
            if not pages.is_large(page.number or 0):
                return None
        state = _state(page.file)
        opened = self._read_alone(page)
        return (state, opened) if isinstance(opened, OpenSlide) else None

    def _read_alone(self, page: JobPage) -> Page | OpenSlide:
        """A page from a file that is opened for it."""
        number = page.number or 0
        with ExitStack() as stack:
            pages = stack.enter_context(open_pages(page.file, self._reading))
            _expect_as_many(page, pages)
            if not pages.is_large(number):
                return pages.read(number)
            slide = pages.slide(number)
            if slide is not None and self._is_tiled(slide.source.size):
                return OpenSlide(slide, stack.pop_all().close)
            whole = pages.read(number)
        if not self._is_tiled((whole.image.shape[0], whole.image.shape[1])):
            return whole
        source = ArraySource(whole.image, whole.numbers, whole.pixel_size_um)
        return OpenSlide(Slide(source, whole.channel_names, whole.number, whole.place, whole.notes), lambda: None)

    def close(self) -> None:
        with self._lock:
            self._stack.close()
            self._open = None


def _state(file: Path) -> FileState:
    if not file.is_file():
        with open_pages(file):  # says what it is
            raise ImageError(f"{printable(str(file))}: expected a file")
    return state_of(file)


def _is_changed(opened: _Open) -> bool:
    status = opened.path.stat()
    return (status.st_size, status.st_mtime_ns) != (opened.state.size, opened.state.mtime)


def _expect_as_many(page: JobPage, pages: PictureFile) -> None:
    if pages.num_pages != page.num:
        raise ImageError(
            f"{printable(str(page.file))}: {pages.num_pages} pages, and {page.num} when the job began; "
            "the file was changed"
        )
