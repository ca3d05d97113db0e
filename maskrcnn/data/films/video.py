"""Video files, cameras and streams, decoded by OpenCV (FFmpeg)."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from maskrcnn.data.films.frame import FilmError
from maskrcnn.data.films.kinds import film_kind, is_sound, what_mp4_lacks
from maskrcnn.data.pictures.finding import missing_file
from maskrcnn.data.pictures.limits import allowed_pixels
from maskrcnn.untrusted.names import printable

MAX_ATTEMPTS = 200
"""To get a frame where the film is damaged; each skips a packet."""
MAX_RATE = 1000.0
"""Frames in a second; what says more does not know."""
OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
PATIENCE_S = 30.0
"""So long a stream that was lost is looked for."""
FIRST_WAIT_S = 0.5
"""Before it is looked for again; twice as long each time."""

Capture = cv2.VideoCapture


class VideoFile:
    """A video file. Frames have the times that the file gives them, and are turned as it says.

    Raises:
        FileNotFoundError: there is no such file.
        FilmError: no video, sound alone, cut off so that nothing can be read, a codec that OpenCV has not.
    """

    is_live = False

    def __init__(self, path: str | Path, max_pixels: int | None = None) -> None:
        path = Path(path)
        self.name = printable(str(path))
        if not path.is_file():
            if path.exists():
                raise FilmError(f"{self.name}: expected a video file, got what is no file")
            raise missing_file(path, "video file")
        if path.stat().st_size == 0:
            raise FilmError(f"{self.name}: the video file is empty (0 bytes)")
        kind = film_kind(path)
        if kind is None:
            raise FilmError(f"{self.name}: not a video in a known format")
        if is_sound(kind):
            raise FilmError(f"{self.name}: expected a video, there is {kind} in this file")
        capture = _opened(os.path.abspath(path))  # a relative name could look like an address
        if capture is None:
            raise FilmError(f"{self.name}: the video cannot be opened: {_reason(path, kind)}")
        self._capture = capture
        try:
            expect_size(capture, self.name, max_pixels)
        except FilmError:
            capture.release()
            raise
        claimed = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = int(claimed) if 0 < claimed < 1e9 else None
        self.frame_rate = rate_of(self._capture)
        self._num_read = self._num_broken = 0
        self._last_s: float | None = None
        self._is_over = False

    def advance(self) -> float | None:
        for attempt in range(MAX_ATTEMPTS):
            if self._capture.grab():
                self._num_broken += attempt > 0
                self._num_read += 1
                return self._time()
            if attempt == 0 and self.num_frames is not None and self._num_read >= self.num_frames:
                break
        self._is_over = True
        return None

    def _time(self) -> float:
        """As the file says; by the rate where that does not go on."""
        said = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._last_s is None:
            self._last_s = max(said, 0.0)
        else:
            self._last_s = said if said > self._last_s else self._last_s + 1 / (self.frame_rate or 25.0)
        return self._last_s

    def image(self) -> np.ndarray | None:
        found = decoded(self._capture)
        self._num_broken += found is None
        return found

    def notes(self) -> list[str]:
        said = []
        if self._num_broken:
            said.append(
                f"damaged in {self._num_broken} place{'s' * (self._num_broken > 1)}, where frames may be missing"
            )
        # Where a file has no index the number is an estimate from the rate.
        if self._is_over and self.num_frames and self._num_read < self.num_frames - max(1, 0.01 * self.num_frames):
            said.append(
                f"cut off or damaged: of {self.num_frames} frames that it should have, {self._num_read} are there"
            )
        return said

    def close(self) -> None:
        self._capture.release()


class Camera:
    """A camera by its number.

    Raises:
        FilmError: there is no such camera, or it gives no picture.
    """

    is_live = True
    num_frames = None

    def __init__(self, number: int, open_capture: Callable[[int], Capture | None] | None = None) -> None:
        self.name = f"camera {number}"
        capture = (open_capture or _opened)(number)
        if capture is None:
            raise FilmError(f"{self.name}: there is no such camera, or another program uses it")
        self._capture, self.frame_rate = capture, rate_of(capture)
        self._start = time.monotonic()
        self._num_broken = 0

    def advance(self) -> float | None:
        for _ in range(MAX_ATTEMPTS):
            if self._capture.grab():
                return time.monotonic() - self._start
        return None

    def image(self) -> np.ndarray | None:
        found = decoded(self._capture)
        self._num_broken += found is None
        return found

    def notes(self) -> list[str]:
        num = self._num_broken
        return [f"{num} frame{'s' * (num > 1)} could not be decoded"] if num else []

    def close(self) -> None:
        self._capture.release()


class Stream:
    """A stream by its address (rtsp, http, ...), which is opened again when it is lost.

    An address that leads to a film with an end, a file on a web server, ends with it.

    Raises:
        FilmError: there is no stream.
    """

    def __init__(
        self,
        address: str,
        *,
        patience_s: float = PATIENCE_S,
        open_capture: Callable[[str], Capture | None] | None = None,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = without_password(address)
        self._address, self._patience_s = address, patience_s
        self._open, self._wait, self._clock = open_capture or _opened_stream, wait, clock
        capture = self._open(address)
        if capture is None:
            raise FilmError(f"{self.name}: there is no stream at this address, or OpenCV cannot decode it")
        self._capture = capture
        claimed = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = int(claimed) if 0 < claimed < 1e9 else None
        self.is_live = self.num_frames is None
        self.frame_rate = rate_of(capture)
        self._start = clock()
        self._num_lost = self._num_broken = 0
        self._was_given_up = False

    def advance(self) -> float | None:
        while not self._capture.grab():
            if not self.is_live or not self._reconnect():
                return None
        return self._clock() - self._start if self.is_live else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def _reconnect(self) -> bool:
        self._capture.release()
        self._num_lost += 1
        lost_at, wait_s = self._clock(), FIRST_WAIT_S
        while self._clock() - lost_at < self._patience_s:
            self._wait(wait_s)
            wait_s *= 2
            capture = self._open(self._address)
            if capture is not None:
                self._capture = capture
                return True
        self._was_given_up = True
        return False

    def image(self) -> np.ndarray | None:
        found = decoded(self._capture)
        self._num_broken += found is None
        return found

    def notes(self) -> list[str]:
        said = []
        if self._num_lost:
            end = f", the last time for more than {self._patience_s:g} s" if self._was_given_up else " and found again"
            said.append(f"lost {self._num_lost} time{'s' * (self._num_lost > 1)}{end}")
        if self._num_broken:
            said.append(f"{self._num_broken} frame{'s' * (self._num_broken > 1)} could not be decoded")
        return said

    def close(self) -> None:
        self._capture.release()


def decoded(capture: Capture) -> np.ndarray | None:
    """The frame that was grabbed, RGB uint8 (H, W, 3)."""
    try:
        is_there, image = capture.retrieve()
    except cv2.error:
        return None
    if not is_there or image is None or not image.size:
        return None
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)


def rate_of(capture: Capture) -> float | None:
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate <= MAX_RATE else None


def expect_size(capture: Capture, name: str, max_pixels: int | None) -> None:
    """Accept the size that a film claims before a frame is decoded."""
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    limit = allowed_pixels(max_pixels)
    if width * height > limit:
        raise FilmError(
            f"{name}: frames of {width} x {height} px, {width * height / 1e6:,.0f} megapixels, more than the "
            f"{limit / 1e6:,.0f} allowed (max_pixels)"
        )


def without_password(address: str) -> str:
    """An address as it may be shown: `rtsp://user:secret@host/x` is `rtsp://host/x`."""
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _opened_stream(address: str) -> Capture | None:
    limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_S), (cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_S)
    return _opened(address, [number for key, seconds in limits for number in (key, int(1000 * seconds))])


def _opened(source: str | int, limits: list[int] | None = None) -> Capture | None:
    """An open capture, or None; what the libraries print meanwhile is for those who develop them."""
    with _quiet():
        try:
            if isinstance(source, int):
                capture = cv2.VideoCapture(source)
            else:
                capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits or [])
        except cv2.error:
            return None
    return capture if capture.isOpened() else None


@contextmanager
def _quiet() -> Iterator[None]:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read when FFmpeg is first used
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def _reason(path: Path, kind: str) -> str:
    lacks = what_mp4_lacks(path) if kind in ("MP4", "QuickTime") else None
    return lacks or f"the {kind} file is damaged, has no pictures in it, or is in a codec that this OpenCV has not"
