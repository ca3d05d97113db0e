"""One directory of a TIFF, of which only those tiles or strips are decoded that a window needs.

S samples of a pixel.
"""

import threading
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np

from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.slides.source import Window

CACHE_BYTES = 256 << 20
"""Decoded tiles and strips that a slide keeps: windows side by side, and those of the next row, share them."""
SEGMENT_BYTES = 256 << 20
"""A tile or strip of more, decoded, cannot be read by windows."""
SLACK = 2
"""A stored tile is never so many times as large as its pixels; what claims it would fill memory when unpacked."""
YCBCR = 6
JPEG_LIKE = frozenset({6, 7, 34892, 33007, 33003, 33005, 34712, 50001})
"""Compressions that turn YCbCr to RGB themselves."""


class MissingCodecError(ImageError):
    """Tiles that a package decodes which is not installed."""


class SegmentCache:
    """The decoded tiles that were asked for last, up to a number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._bytes = limit_bytes, 0
        self._segments: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: tuple[int, int]) -> np.ndarray | None:
        with self._lock:
            if key in self._segments:
                self._segments.move_to_end(key)
            return self._segments.get(key)

    def keep(self, key: tuple[int, int], segment: np.ndarray) -> None:
        with self._lock:
            if key not in self._segments:
                self._segments[key] = segment
                self._bytes += segment.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._segments.popitem(last=False)[1].nbytes


class SharedFile:
    """A file that several threads read parts of."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._lock = file, name, threading.Lock()

    def read(self, offset: int, num_bytes: int) -> bytes:
        try:
            with self._lock:
                self._file.seek(offset)
                return self._file.read(num_bytes)
        except OSError as error:
            raise ImageError(f"{self._name}: the image file cannot be read ({error.strerror or error})") from error


class Directory:
    """One picture of a TIFF.

    Args:
        page: tifffile's.
        name: of the file, for errors.
        offset: where its pixels begin when they lie in the file as they are, row after row; None: as the page says.

    Raises:
        ImageError: what its tags say cannot be.
    """

    def __init__(self, page: Any, file: SharedFile, cache: SegmentCache, name: str, offset: int | None = None) -> None:
        self._page, self._file, self._cache, self._name = page, file, cache, name
        self._key = page.keyframe
        self.size: tuple[int, int] = self._key.imagelength, self._key.imagewidth
        self.num_samples: int = self._key.samplesperpixel
        self.dtype = np.dtype(self._key.dtype)
        self._is_planar = int(self._key.planarconfig) == 2 and self.num_samples > 1
        self._flat = offset
        height, width = self.size
        if offset is None:
            if self._key.is_tiled:
                self.segment_size: tuple[int, int] = self._key.tilelength, self._key.tilewidth
            else:
                self.segment_size = max(1, min(self._key.rowsperstrip, height)), width
            self._down, self._across = (
                -(-side // part) for side, part in zip(self.size, self.segment_size, strict=True)
            )
            # Read now, by one thread: tifffile loads them when they are first asked for.
            self._offsets, self._counts = page.dataoffsets, page.databytecounts
            expected = self._down * self._across * (self.num_samples if self._is_planar else 1)
            if min(len(self._offsets), len(self._counts)) < expected:
                raise ImageError(
                    f"{name}: {width} x {height} px need {expected} tiles or strips, the file lists "
                    f"{min(len(self._offsets), len(self._counts))}"
                )
            self._arguments = {}
            if self._key.compression in (6, 7, 34892, 33007):
                self._arguments = {"jpegtables": page.jpegtables, "jpegheader": self._key.jpegheader}
            self._decode = self._key.decode
            is_plain = self._key.compression == 1 and self._key.fillorder == 1 and self._key.bitspersample % 8 == 0
            if is_plain and not self._key.is_tiled and page.is_contiguous:
                self._flat = self._offsets[0]

    @property
    def segment_bytes(self) -> int:
        """Of a decoded tile or strip; 0 where rows are read as they lie in the file."""
        if self._flat is not None:
            return 0
        samples = 1 if self._is_planar else self.num_samples
        return self.segment_size[0] * self.segment_size[1] * samples * self.dtype.itemsize

    @property
    def codec(self) -> str:
        """Of its tiles, in words."""
        return self._key.compression.name

    def read(self, window: Window) -> np.ndarray:
        """The numbers of a window as they are stored, (h, w, S).

        Raises:
            ImageError: a tile that is damaged, cut off, or of a codec that is not there.
        """
        y0, x0, y1, x1 = window
        out = np.empty((y1 - y0, x1 - x0, self.num_samples), self.dtype)
        planes = [out[..., i : i + 1] for i in range(self.num_samples)] if self._is_planar else [out]
        for number, plane in enumerate(planes):
            if self._flat is not None:
                self._read_rows(plane, number, window)
                continue
            h, w = self.segment_size
            for row in range(y0 // h, -(-y1 // h)):
                for column in range(x0 // w, -(-x1 // w)):
                    top, left = max(y0, row * h), max(x0, column * w)
                    bottom, right = min(y1, (row + 1) * h), min(x1, (column + 1) * w)
                    segment = self._segment((number * self._down + row) * self._across + column)
                    part = plane[top - y0 : bottom - y0, left - x0 : right - x0]
                    if segment is None:
                        part[:] = self._key.nodata
                    else:
                        part[:] = segment[top - row * h : bottom - row * h, left - column * w : right - column * w]
        return out

    def _read_rows(self, out: np.ndarray, plane: int, window: Window) -> None:
        y0, x0, y1, x1 = window
        height, width = self.size
        stored = self.dtype.newbyteorder(self._key.parent.byteorder)
        pixel = out.shape[2] * self.dtype.itemsize
        for y in range(y0, y1):
            start = (self._flat or 0) + ((plane * height + y) * width + x0) * pixel
            data = self._file.read(start, (x1 - x0) * pixel)
            if len(data) < (x1 - x0) * pixel:
                raise ImageError(f"{self._name}: the image file is cut off: row {y} is not in it")
            out[y - y0] = np.frombuffer(data, stored).reshape(x1 - x0, -1)

    def _segment(self, number: int) -> np.ndarray | None:
        """A decoded tile or strip (h, w, S); None for one that the file leaves out, since nothing is in it."""
        offset, count = self._offsets[number], self._counts[number]
        if not count:
            return None
        # Several places may share one, but for the last strip, which has fewer rows.
        is_last = number % (self._down * self._across) >= (self._down - 1) * self._across
        key = offset, int(is_last)
        found = self._cache.find(key)
        if found is not None:
            return found
        if count > SLACK * self.segment_bytes + (1 << 16):
            raise ImageError(f"{self._name}: a tile of {self.segment_bytes} bytes takes {count} in the file")
        data = self._file.read(offset, count)
        if len(data) < count:
            raise ImageError(f"{self._name}: the image file is cut off: tile or strip {number} is not in it")
        try:
            segment, _, shape = self._decode(data, number, **self._arguments)
        except Exception as error:
            if "imagecodecs" in str(error):
                raise MissingCodecError(
                    f"{self._name}: tiles with {self.codec} compression need the extra slides "
                    "(pip install 'maskrcnn[slides]')"
                ) from error
            raise ImageError(f"{self._name}: tile or strip {number} is damaged ({error})") from error
        segment = np.asarray(segment).reshape(shape)[0]
        self._cache.keep(key, segment)
        return segment
