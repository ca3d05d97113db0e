"""Series of pictures as films: files in an order, and the pages of a TIFF or an animation."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from maskrcnn.data.films.frame import FilmError
from maskrcnn.data.pages import Reading, open_pages
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.untrusted.names import printable

SERIES_RATE = 10.0
"""Frames in a second of a series that has no times of its own."""


class PictureSeries:
    """Pictures in the order given, all of one size; one that cannot be read is a broken frame.

    Args:
        frame_rate: in a second.

    Raises:
        FilmError: no picture.
    """

    is_live = False

    def __init__(
        self, files: Sequence[str | Path], frame_rate: float = SERIES_RATE, reading: Reading | None = None
    ) -> None:
        if not files:
            raise FilmError("a sequence needs pictures, got none")
        if not frame_rate > 0:
            raise FilmError(f"frame rate: expected more than 0 frames in a second, got {frame_rate:g}")
        self._files, self._reading = [Path(file) for file in files], reading or Reading()
        parent = self._files[0].parent
        self.name = printable(str(parent if parent.name else self._files[0].stem))
        self.num_frames, self.frame_rate = len(files), frame_rate
        self._at = -1
        self._size: tuple[int, ...] | None = None
        self._broken: list[str] = []

    def advance(self) -> float | None:
        self._at += 1
        return self._at / self.frame_rate if self._at < len(self._files) else None

    def image(self) -> np.ndarray | None:
        path = self._files[self._at]
        try:
            with open_pages(path, self._reading) as pages:
                image = pages.read(0).image
        except (ImageError, OSError) as error:
            self._broken.append(str(error))
            return None
        self._size = self._size or image.shape
        if image.shape != self._size:
            (height, width, _), (first_height, first_width, _) = image.shape, self._size
            expected = f"expected {first_width} x {first_height} px, as the first picture has"
            self._broken.append(f"{printable(str(path))}: {expected}, got {width} x {height}")
            return None
        return image

    def notes(self) -> list[str]:
        num = len(self._broken)
        if not num:
            return []
        return [f"{num} picture{'s' * (num > 1)} left out, the first since: {self._broken[0]}"]

    def close(self) -> None:
        pass


class PageSeries:
    """The pages of a TIFF, or the frames of a GIF, PNG or WebP, which say how long each is shown.

    Raises:
        FileNotFoundError, ImageError: of `open_pages`.
    """

    is_live = False

    def __init__(self, path: str | Path, frame_rate: float = SERIES_RATE, reading: Reading | None = None) -> None:
        if not frame_rate > 0:
            raise FilmError(f"frame rate: expected more than 0 frames in a second, got {frame_rate:g}")
        self.name = printable(str(path))
        self._stack = ExitStack()
        self._pages = self._stack.enter_context(open_pages(path, reading or Reading()))
        self.num_frames, self.frame_rate = self._pages.num_pages, frame_rate
        self._at, self._time_s = -1, 0.0
        self._image: np.ndarray | None = None
        self._broken: list[str] = []

    def advance(self) -> float | None:
        if self._at >= 0:
            self._time_s += self._pages.frame_s or 1 / self.frame_rate
        self._at += 1
        if self._at >= self.num_frames:
            return None
        try:
            self._image = self._pages.read(self._at).image
        except ImageError as error:
            self._image = None
            self._broken.append(str(error))
        return self._time_s

    def image(self) -> np.ndarray | None:
        return self._image

    def notes(self) -> list[str]:
        num = len(self._broken)
        return [f"{num} page{'s' * (num > 1)} left out, the first since: {self._broken[0]}"] if num else []

    def close(self) -> None:
        self._stack.close()
