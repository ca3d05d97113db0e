"""Write a film: H.264 where OpenCV has an encoder for it, else MPEG-4."""

import os
from pathlib import Path

import cv2
import numpy as np

CODECS = (("avc1", "H.264"), ("mp4v", "MPEG-4 Part 2, since this OpenCV has no encoder for H.264"))
MAX_HELD_S = 60.0
"""So long a frame is shown at most, where the film it comes from has a gap."""


class FilmFile:
    """An MP4 of frames at their times, all as large as the first; close it when all are written.

    A frame is shown until the next one is; as the file has a fixed rate, it is repeated for that.

    Args:
        rate: frames in a second.

    Raises:
        OSError: the file cannot be written.
    """

    codec = ""
    """Which one it is, in words; known from the first frame on."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._start_s = 0.0
        self._num = 0
        self._last: np.ndarray | None = None

    def write(self, image: np.ndarray, time_s: float) -> None:
        """The next frame, RGB uint8 (H, W, 3)."""
        if self._writer is None:
            height, width = image.shape[:2]
            self._size = width + width % 2, height + height % 2  # H.264 wants even ones
            self._writer = self._opened()
            self._start_s = time_s
        due, latest = round((time_s - self._start_s) * self._rate), self._num + round(MAX_HELD_S * self._rate)
        if due > latest:  # what is left out of a gap is left out of all times after it
            self._start_s += (due - latest) / self._rate
            due = latest
        while self._last is not None and self._num < due:
            self._put(self._last)
        self._last = _as_large(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), self._size)
        self._put(self._last)

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: it could not be written, since the disk is full, say.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if self._num and (not self._path.exists() or not _has_frames(self._path)):
            raise OSError(f"{self._path.name}: the film cannot be written; is the disk full?")

    def discard(self) -> None:
        """Let go of the file, whatever is in it."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _put(self, frame: np.ndarray) -> None:
        assert self._writer is not None
        self._writer.write(frame)
        self._num += 1

    def _opened(self) -> cv2.VideoWriter:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            for code, words in CODECS:
                fourcc = cv2.VideoWriter.fourcc(*code)
                writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, fourcc, self._rate, self._size)
                if writer.isOpened():
                    self.codec = words
                    return writer
        finally:
            cv2.utils.logging.setLogLevel(before)
        raise OSError(f"{self._path.name}: the film cannot be written, since this OpenCV has no encoder for it")


def _as_large(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The frame with a border up to (width, height), or smaller where it is too large."""
    width, height = size
    if frame.shape[1] > width or frame.shape[0] > height:
        factor = min(width / frame.shape[1], height / frame.shape[0])
        small = max(1, int(frame.shape[1] * factor)), max(1, int(frame.shape[0] * factor))
        frame = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
    below, right = height - frame.shape[0], width - frame.shape[1]
    return cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_REPLICATE) if below or right else frame


def _has_frames(path: Path) -> bool:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return bool(capture.isOpened() and capture.grab())
    finally:
        capture.release()
