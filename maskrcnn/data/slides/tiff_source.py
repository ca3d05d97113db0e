"""A page of a tiled, striped or pyramidal TIFF (BigTIFF, OME-TIFF, SVS, NDPI, GeoTIFF) as a source."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.pictures.pixels import Stored, ValueRange, stretch_range
from maskrcnn.data.pictures.tiff import TiffPages
from maskrcnn.data.pictures.tiff_layout import Planes, TiffLayout
from maskrcnn.data.slides.segments import CACHE_BYTES, SEGMENT_BYTES, Directory, SegmentCache, SharedFile
from maskrcnn.data.slides.source import Window, shrink

SAMPLE_PIXELS = 1_000_000
"""The smallest overview in a file with at least so many pixels says what is black and white in all of it, unless it has
`LARGE` times as many: then windows spread over it do."""
LARGE = 16
SAMPLE_WINDOWS, SAMPLE_PX = 8, 256
"""In each direction, and side of each."""
YCBCR = 6
YCBCR_DECODED = frozenset({6, 7, 34892, 33007, 33003, 33005, 34712, 50001})
"""Compressions that give RGB for YCbCr: JPEG of several kinds, JPEG 2000, WebP."""


class TiffSource:
    """One page of an open TIFF, read by its tiles, strips or rows.

    Numbers of more than 8 bits become 8 by one range for the whole page: the 0.1 and 99.9 percentiles of a small
    overview that the file holds, or else of 64 windows spread evenly over it.

    Args:
        file: that of `pages`, from now on for this source alone, and open as long as it is used.
        name: of the file, for errors.
        page, planes: of `TiffPages.read`.
        looked_at: channels of which the picture is the maximum.
        measured: channels that `numbers` gives.

    Raises:
        MissingCodecError: tiles that need an extra.
        ImageError: a file that is damaged.
    """

    def __init__(
        self,
        pages: TiffPages,
        file: BinaryIO,
        name: str,
        page: int,
        planes: Planes | None,
        looked_at: Sequence[int],
        measured: Sequence[int],
    ) -> None:
        self._pages, self._page, self._name = pages, page, name
        self._planes: Planes | None = planes
        self._looked_at, self._measured = looked_at, measured
        self._file, self._cache = SharedFile(file, name), SegmentCache(CACHE_BYTES)
        self._directories: dict[tuple[int, int], Directory] = {}
        held = pages.held
        self._levels = _sizes(pages.series, held)
        self.size: tuple[int, int] = self._levels[0]
        self.pixel_size_um = held.pixel_size_um
        # All directories are read now, by one thread.
        for level in range(len(self._levels)):
            self._counted(level, (0, 0, 1, 1))
        self._read(0, (0, 0, 1, 1), measured)
        self._is_clear = False
        self.value_range: ValueRange | None = None
        """What is black and what is white; None where numbers of 8 bits are taken as they are."""
        self._look_around()

    def window(self, window: Window) -> np.ndarray:
        return self._rgb(0, window)

    def numbers(self, window: Window) -> np.ndarray:
        return np.concatenate(
            [one.channels(are_equal_merged=False) for one in self._read(0, window, self._measured)], axis=2
        )

    def overview(self, longest_px: int) -> np.ndarray:
        enough = [i for i, size in enumerate(self._levels) if max(size) >= longest_px]
        level = enough[-1] if enough else 0
        return shrink(lambda window: self._rgb(level, window), self._levels[level], longest_px)

    def _rgb(self, level: int, window: Window) -> np.ndarray:
        stored = self._counted(level, window)
        opacity = _opacity(stored)
        if opacity is not None and self._is_clear:
            stored = stored._replace(alpha="none")
        elif opacity is not None and not opacity.any():
            return np.full((*opacity.shape, 3), 255, np.uint8)  # the white page behind it
        return stored.rgb(self.value_range)

    def _counted(self, level: int, window: Window) -> Stored:
        first, *others = self._read(level, window, self._looked_at)
        for one in others:
            first = first._replace(numbers=np.maximum(first.numbers, one.numbers))
        return first

    def _read(self, level: int, window: Window, channels: Sequence[int]) -> list[Stored]:
        def decode(flat: int) -> np.ndarray:
            numbers = self._directory(level, flat).read(window)  # (h, w, S)
            axes = self._pages.series.keyframe.axes
            return np.moveaxis(numbers, 2, axes.index("S")) if "S" in axes else numbers[..., 0]

        return self._pages.read(self._page, self._planes, channels, decode)

    def _directory(self, level: int, flat: int) -> Directory:
        if (level, flat) not in self._directories:
            series = self._pages.series.levels[level]
            key, offset = series.keyframe, None
            if _is_contiguous(series):
                page, offset = key, series.dataoffset + flat * key.nbytes
            else:
                page = series.pages[flat]
            if page is None:
                raise ImageError(f"{self._name}: this page is in another file of the set")
            self._directories[level, flat] = Directory(page, self._file, self._cache, self._name, offset)
        return self._directories[level, flat]

    def _look_around(self) -> None:
        """Find what is black and white in all of the page, and whether it is transparent everywhere."""
        enough = [i for i, (height, width) in enumerate(self._levels) if height * width >= SAMPLE_PIXELS]
        level = enough[-1] if enough else 0
        one = self._counted(level, (0, 0, 1, 1))
        has_range = _colours(one).dtype not in (np.uint8, bool)
        if _opacity(one) is None and not has_range:
            return
        height, width = self._levels[level]
        windows = [(0, 0, height, width)]
        if height * width > LARGE * SAMPLE_PIXELS:
            tops, lefts = (
                np.linspace(0, side - SAMPLE_PX, SAMPLE_WINDOWS).astype(int).tolist() if side > SAMPLE_PX else [0]
                for side in (height, width)
            )
            windows = [(y, x, min(y + SAMPLE_PX, height), min(x + SAMPLE_PX, width)) for y in tops for x in lefts]
        seen = [self._counted(level, window) for window in windows]
        opacities = [opacity for opacity in map(_opacity, seen) if opacity is not None]
        self._is_clear = bool(opacities) and not any(opacity.any() for opacity in opacities)
        if has_range:
            self.value_range = stretch_range(np.concatenate([_colours(stored).reshape(-1) for stored in seen]))


def why_no_windows(series: Any, held: TiffLayout) -> str:
    """What keeps a series of a TIFF from being read by windows; "" where it can be."""
    key = series.keyframe
    turn = key.tags.get(274)
    is_rgb = int(key.photometric) in (0, 1, 2, 3) and not key.is_subsampled
    is_decoded = int(key.photometric) in (2, YCBCR) and key.compression in YCBCR_DECODED
    fits = tuple(held.shape[len(held.shape) - len(key.shape) :]) == tuple(key.shape)
    rows = key.tilelength if key.is_tiled else min(key.rowsperstrip, key.imagelength)
    segment_bytes = rows * (key.tilewidth if key.is_tiled else key.imagewidth) * held.dtype.itemsize
    segment_bytes *= key.samplesperpixel if int(key.planarconfig) == 1 else 1
    is_flat = _is_contiguous(series) or (not key.is_tiled and key.is_contiguous)
    reasons = {
        "it is stored turned": turn is not None and turn.value in range(2, 9),
        "its rows are pages": held.is_interleaved,
        "its pages are of several kinds": not fits or set(key.axes) - set("YXS") or key.imagedepth > 1,
        f"of {key.photometric.name} pixels": not (is_rgb or is_decoded),
        f"of {held.dtype} pixels": held.dtype.kind not in "biuf",
        "its strips are too large": segment_bytes > SEGMENT_BYTES and not is_flat,
    }
    return next((reason for reason, is_given in reasons.items() if is_given), "")


def _is_contiguous(series: Any) -> bool:
    """ImageJ and others write one directory for all pages, which follow one another."""
    return series.dataoffset is not None and len(series.pages) == 1 and series.keyframe.size < series.size


def _sizes(series: Any, held: TiffLayout) -> list[tuple[int, int]]:
    """(height, width) of each level that is the picture in small."""
    sizes = [(held.length("Y"), held.length("X"))]
    for level in series.levels[1:]:
        same = level.axes == series.axes and level.dtype == series.dtype and len(level.pages) == len(series.pages)
        if not same or why_no_windows(level, held._replace(shape=tuple(level.shape))):
            break
        sizes.append((level.keyframe.imagelength, level.keyframe.imagewidth))
    return sizes


def _colours(stored: Stored) -> np.ndarray:
    numbers = stored.numbers if stored.numbers.ndim == 3 else stored.numbers[..., None]
    return numbers[..., : 1 if numbers.shape[2] < 3 else 3]


def _opacity(stored: Stored) -> np.ndarray | None:
    """(h, w), of a picture with an alpha channel that counts."""
    numbers = stored.numbers
    if stored.alpha == "none" or numbers.ndim < 3 or numbers.shape[2] not in (2, 4):
        return None
    return numbers[..., numbers.shape[2] - 1]
