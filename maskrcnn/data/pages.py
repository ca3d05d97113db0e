"""The pages of a picture file, one at a time: of a stack, a series in time, an animation; or the one picture it holds.

A page is a picture of all channels. Planes of depth are read together, as their maximum, unless told otherwise.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from maskrcnn.data.pictures.channels import choose_channel, column_names
from maskrcnn.data.pictures.limits import BYTES_PER_PIXEL, MAX_PAGES, ImageError, allowed_pixels
from maskrcnn.data.pictures.opening import format_of, one_sentence, opened
from maskrcnn.data.pictures.raster import num_frames, open_raster, read_raster
from maskrcnn.data.pictures.tiff import TiffPages, open_tiff
from maskrcnn.data.pictures.tiff_layout import Planes as Planes
from maskrcnn.data.pictures.tiff_layout import TiffLayout, pictures_of
from maskrcnn.data.slides.source import SLIDE_PIXELS, Source
from maskrcnn.data.slides.tiff_source import TiffSource, why_no_windows
from maskrcnn.untrusted.names import printable

MAX_MEASURED = 64
"""Channels that are read to be measured; of a file with more only the one that is counted in."""


@dataclass(frozen=True)
class Reading:
    """How picture files are read."""

    max_pixels: int | None = None
    """Pixels that a picture may have; None takes `allowed_pixels()`."""
    channel: int | str | None = None
    """Of several channels the one to look at: a number from 0, a name, or "max" for the maximum of all; None takes the
    one whose name says what `looks_for` has, and is an error where none does."""
    planes: Planes | None = None
    """What is read of planes of depth: "max" or "sum" of all, "each" as a page of its own, or the one of a number from
    0. None is "max" for what the file calls depth. Said here, it also holds for pages of unknown meaning in files that
    have no axis of depth."""
    looks_for: tuple[str, ...] = ()
    """Names of classes."""

    def __post_init__(self) -> None:
        is_number = isinstance(self.planes, int) and not isinstance(self.planes, bool) and self.planes >= 0
        if self.planes not in (None, "max", "sum", "each") and not is_number:
            raise ValueError(f"planes: expected max, sum, each or the number of a plane from 0, got {self.planes!r}")


@dataclass(frozen=True, eq=False)
class Page:
    """One picture of a file."""

    image: np.ndarray
    """RGB uint8 (H, W, 3), upright."""
    numbers: np.ndarray
    """What the file stores, to be measured: (H, W, C) of its own type, upright, neither stretched nor laid over white;
    all channels, also those that were not looked at."""
    channel_names: tuple[str, ...] | None = None
    """Of `numbers`; None for grey and for colours."""
    number: int | None = None
    """Of the page in its file, from 0; None where the file holds one picture."""
    place: Mapping[str, int] = field(default_factory=dict)
    """Where the page is along axes with a meaning: T time, P position, Z depth, from 0."""
    pixel_size_um: tuple[float, float] | None = None
    """Height and width of a pixel in micrometres, where the file says it."""
    notes: tuple[str, ...] = ()
    """What was chosen, or left out."""


@dataclass(frozen=True, eq=False)
class Slide:
    """One picture of a file that is too large to hold: what a `Page` says, and its source in place of its pixels."""

    source: Source
    channel_names: tuple[str, ...] | None = None
    number: int | None = None
    place: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        return self.source.pixel_size_um


class PictureFile:
    """An open picture file, for one thread at a time; pages in ascending order are read the fastest.

    Raises:
        ImageError: empty, not an image, damaged, beyond a limit, several channels of which none was chosen.
    """

    def __init__(self, file: BinaryIO, name: str, extension: str = "", reading: Reading = Reading()) -> None:
        self._file, self._name, self._reading = file, name, reading
        self._tiff = self._image = None
        self._series: list[_Series] = []
        with one_sentence(name):
            format = format_of(file, extension, name)
            if format == "TIFF":
                self._tiff = open_tiff(file, name).__enter__()
                pictures, self._num_others = pictures_of(self._tiff, name)
                self._series = [
                    _Series(TiffPages(self._tiff, file, name, series, held), reading, name) for series, held in pictures
                ]
                self.num_pages = sum(series.num_pages for series in self._series)
            else:
                self._format, self._frame = format, 0
                self._image = open_raster(file, format, name, reading.max_pixels)
                self.num_pages = num_frames(self._image)
                if self.num_pages > MAX_PAGES:
                    raise ImageError(f"{name}: {self.num_pages:,} frames, more than the {MAX_PAGES:,} allowed")

    @property
    def frame_s(self) -> float | None:
        """How long the frame that was read last is shown, in seconds; None where the file does not say it."""
        shown_ms = self._image.info.get("duration") if self._image is not None else None
        return shown_ms / 1000 if isinstance(shown_ms, int | float) and shown_ms > 0 else None

    @property
    def held(self) -> str:
        """What there is besides the first page, in words, such as "4 pages (axes TYX of 4 x 40 x 52)"; "" for none."""
        if self.num_pages == 1:
            return ""
        if not self._series:
            return f"{self.num_pages} frames"
        first = self._series[0].pages.held
        several = f", and {len(self._series) - 1} more series" if len(self._series) > 1 else ""
        return f"{self.num_pages} pages (axes {first.axes} of {' x '.join(map(str, first.shape))}{several})"

    def read(self, number: int = 0) -> Page:
        """A page by its number from 0.

        Raises:
            ImageError: no such page, damaged, beyond a limit.
        """
        if not 0 <= number < self.num_pages:
            raise ImageError(f"{self._name}: no page {number} in this file, which has {self.num_pages}, from 0")
        with one_sentence(self._name):
            if self._image is not None:
                if number < self._frame:  # Pillow does not find the way back in every format
                    self._file.seek(0)
                    self._image = open_raster(self._file, self._format, self._name, self._reading.max_pixels)
                stored = read_raster(self._image, self._file, number)
                self._frame = number
                return Page(stored.rgb(), stored.channels(), number=number if self.num_pages > 1 else None)
            series, within = self._find(number)
            return self._placed(series.read(within), number)

    def is_large(self, number: int = 0) -> bool:
        """Whether a page has more than `SLIDE_PIXELS`, from its header."""
        if self._image is not None:
            width, height = self._image.size
            return width * height > SLIDE_PIXELS
        return self._find(number)[0].pages.held.length("YX") > SLIDE_PIXELS

    def slide(self, number: int = 0) -> Slide | None:
        """A page by its number from 0, to be read by windows: one of more than `SLIDE_PIXELS` in tiles, strips or rows
        that can be decoded alone. None for any other.

        From now on the file is the slide's, and must stay open while that is used.

        Raises:
            ImageError: no such page, damaged, tiles that need an extra.
        """
        if not self._series:
            return None
        with one_sentence(self._name):
            series, within = self._find(number)
            slide = series.source(within, self._file, self._name)
            return None if slide is None else self._placed(slide, number)

    def _find(self, number: int) -> "tuple[_Series, int]":
        """The series of a page, and its number there."""
        ends = list(accumulate(series.num_pages for series in self._series))
        at = next(i for i, end in enumerate(ends) if number < end)
        return self._series[at], number - ends[at] + self._series[at].num_pages

    def _placed(self, page: Any, number: int) -> Any:
        """A page or slide with its number and place in the file."""
        own = number if self.num_pages > 1 else None
        place = page.place if own is not None else {}
        if own is not None and len(self._series) > 1:
            place = {"series": self._series.index(self._find(number)[0]), **place}
        others = f"{self._num_others} more images beside the slide, such as its label, are not read"
        return replace(page, number=own, place=place, notes=(*page.notes, *[others] * bool(self._num_others)))

    def close(self) -> None:
        if self._tiff is not None:
            self._tiff.close()


@contextmanager
def open_pages(path: str | Path, reading: Reading = Reading()) -> Iterator[PictureFile]:
    """A picture file, opened, for its pages to be read one by one.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: not a regular file, or what `PictureFile` raises.
    """
    path = Path(path)
    name = printable(str(path))
    with opened(path, name) as file:
        pages = PictureFile(file, name, path.suffix, reading)
        try:
            yield pages
        finally:
            pages.close()


def read_pages(
    path: str | Path,
    *,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
) -> Iterator[Page]:
    """Every page of a picture file, one after the other, so that a film of any length takes the memory of one page.

        for page in maskrcnn.read_pages("film.tif"):
            print(page.number, maskrcnn.count(predictor(page.image)))

    What is a page: each picture of time, of a position, of a series of unknown meaning, and each frame of an animated
    GIF, PNG or WebP. A file with one picture gives one page.

    Args:
        max_pixels, channel, planes: of `Reading`.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: not an image, damaged, beyond a limit, or several channels of which none was chosen.
    """
    with open_pages(path, Reading(max_pixels, channel, planes)) as pages:
        for number in range(pages.num_pages):
            yield pages.read(number)


class _Series:
    """Pages of a TIFF that have one size and type."""

    def __init__(self, pages: TiffPages, reading: Reading, name: str) -> None:
        self.pages, self._max_pixels = pages, reading.max_pixels
        self._planes: Planes | None = reading.planes
        held = pages.held
        self.num_pages = held.num_pages(reading.planes)
        num = held.length("C")
        self._has_windows = held.length("YX") > SLIDE_PIXELS and not why_no_windows(pages.series, held)
        self._expect_readable(1, is_whole=False)
        self._channel, self._said = None, ""
        if num > 1:
            names = held.channel_names
            self._channel, self._said = choose_channel(names, reading.channel, reading.looks_for, name, self._look)
        self._channels = [self._channel or 0] if self._channel is not None or num == 1 else list(range(num))
        allowed = BYTES_PER_PIXEL * allowed_pixels(reading.max_pixels)
        is_small = self._has_windows or held.length("YXC") * held.dtype.itemsize <= allowed
        self._is_all = num > 1 and num <= MAX_MEASURED and is_small and "S" not in held.axes
        if len(self._channels) > 1:
            self._expect_readable(num, is_whole=False)
        # The first page's plane of depth must be there before a job relies on it.
        held.indices(0, reading.planes, name)

    def source(self, page: int, file: BinaryIO, name: str) -> "Slide | None":
        """The page by windows, of a picture that is large and in tiles or strips."""
        if not self._has_windows:
            return None
        held = self.pages.held
        measured = list(range(held.length("C"))) if self._is_all else self._channels[:1]
        names = column_names(held.channel_names) if self._is_all else None
        source = TiffSource(self.pages, file, name, page, self._planes, self._channels, measured)
        return Slide(source, names, place=held.place(page, self._planes), notes=self._notes())

    def read(self, page: int) -> Page:
        held = self.pages.held
        self._expect_readable(len(self._channels), is_whole=True)
        wanted = list(range(held.length("C"))) if self._is_all else self._channels
        found = self.pages.read(page, self._planes, wanted)
        counted = found[wanted.index(self._channels[0])]
        for one in found[1:] if len(self._channels) > 1 else ():
            counted = counted._replace(numbers=np.maximum(counted.numbers, one.numbers))
        numbers = [one.channels() for one in (found if self._is_all else [counted])]
        return Page(
            counted.rgb(),
            np.concatenate(numbers, axis=2) if len(numbers) > 1 else numbers[0],
            column_names(held.channel_names) if self._is_all else None,
            place=held.place(page, self._planes),
            pixel_size_um=held.pixel_size_um,
            notes=self._notes(),
        )

    def _expect_readable(self, num_channels: int, is_whole: bool) -> None:
        """Accept what a page takes; by windows it takes next to nothing, so only a limit that was asked for counts."""
        if is_whole or not self._has_windows or self._max_pixels is not None:
            self.pages.expect_readable(num_channels, self._max_pixels)

    def _notes(self) -> tuple[str, ...]:
        held = self.pages.held
        notes = self._said, _depth_said(held, self._planes), _colours_said(held)
        return tuple(note for note in notes if note)

    def _look(self, channel: int) -> np.ndarray:
        self._expect_readable(1, is_whole=True)
        return self.pages.read(0, self._planes, [channel])[0].numbers


def _depth_said(held: TiffLayout, planes: Planes | None) -> str:
    depth = held.depth(planes)
    num = held.shape[depth] if depth is not None else 1
    if num == 1 or planes == "each":
        return ""
    what = "planes of depth" if "Z" in held.axes else "pages, as planes of depth,"
    if isinstance(planes, int):
        return f"of {num} {what.rstrip(',')} number {planes} is read"
    return f"{num} {what} are read as their {'sum' if planes == 'sum' else 'maximum'}"


def _colours_said(held: TiffLayout) -> str:
    num = held.length("S")
    return f"of {num} samples of a pixel only red, green and blue are read" if num > 4 else ""
