"""Pages of TIFF of every kind, read by tifffile as numbers (H, W) or (H, W, S) of each channel.

Codecs that tifffile has only with imagecodecs (LZW, JPEG, CCITT) go to the libtiff of Pillow and OpenCV where that
reads the same numbers.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import product
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image

from maskrcnn.data.pictures.limits import ImageError, expect_within
from maskrcnn.data.pictures.pixels import Alpha, Stored
from maskrcnn.data.pictures.raster import DEEP_MODES, pil_to_array, rgb_order
from maskrcnn.data.pictures.tiff_layout import Planes, TiffLayout

_MAX_SUMMED = 1 << 16
"""Planes of 16 bits whose sum fits into 32."""


class _Plane(NamedTuple):
    numbers: np.ndarray
    """(H, W) or (H, W, S), or as the directory has it, with more axes."""
    is_ready: bool
    """libtiff has turned it upright and inverted it where zero is white."""


def open_tiff(file: BinaryIO, name: str) -> Any:
    """A `tifffile.TiffFile`, to be closed; other files that its metadata names are never opened."""
    import tifffile  # takes 30 ms, and most pictures are no TIFF

    return closing(tifffile.TiffFile(file, name=name, _multifile=False))


class TiffPages:
    """One series of an open file: its channels, page by page."""

    def __init__(self, tiff: Any, file: BinaryIO, name: str, series: Any, held: TiffLayout) -> None:
        self._tiff, self._file, self._name, self.series = tiff, file, name, series
        self.held = held

    def expect_readable(self, num_channels: int, max_pixels: int | None) -> None:
        """Accept what a page of so many channels takes.

        Raises:
            ImageError: beyond a limit, or no numbers.
        """
        held, name = self.held, self._name
        size = held.length("Y"), held.length("X")
        bytes_per_pixel = held.dtype.itemsize * held.length("S") * num_channels
        expect_within(name, size, bytes_per_pixel, max_pixels, self._tiff.filehandle.size, "TIFF")
        if held.dtype.kind not in "biuf":
            raise ImageError(f"{name}: expected numbers, got {held.dtype} pixels")

    def read(
        self,
        page: int,
        planes: Planes | None,
        channels: Sequence[int],
        decode: Callable[[int], np.ndarray] | None = None,
    ) -> list[Stored]:
        """These channels of a page, with depth as `planes` says.

        Args:
            decode: gives the numbers of a directory by its place in the series, or the part of them that is wanted, in
                the directory's own axes; None decodes it whole.

        Raises:
            ImageError: cut off, a codec that is not there, numbers that are no picture, no such plane.
        """
        held, key = self.held, self.series.keyframe
        num_inner = len(key.shape)
        if not held.is_interleaved and tuple(held.shape[-num_inner:]) != tuple(key.shape):
            raise ImageError(
                f"{self._name}: its pages {key.shape} do not make up the {held.axes} of {held.shape} that it claims"
            )
        num_outer = len(held.axes) - (3 if held.is_interleaved else num_inner)
        wanted = held.indices(page, planes, self._name)
        depth, at_c = held.depth(planes), held.axes.find("C")
        if at_c >= 0:
            wanted[at_c] = range(held.shape[at_c])
        found: dict[int, Stored] = {}
        num_planes = len(wanted[depth]) if depth is not None else 1
        is_sum = planes == "sum"
        for place in product(*wanted[:num_outer]):
            is_outer = 0 <= at_c < num_outer
            if is_outer and place[at_c] not in channels:
                continue
            flat = int(np.ravel_multi_index(place, held.shape[:num_outer])) if num_outer else 0
            plane = self._decode(flat) if decode is None else _Plane(decode(flat), False)
            parts = self._split(plane.numbers, num_outer, wanted, place[at_c] if is_outer else None, channels)
            for channel, numbers in parts:
                stored = _stored(numbers, key, plane.is_ready)
                if num_planes > 1:
                    stored = _upright(stored, is_sum and num_planes)
                before = found.get(channel)
                if before is not None:
                    merge = np.add if is_sum else np.maximum
                    stored = stored._replace(numbers=merge(before.numbers, stored.numbers))
                found[channel] = stored
        return [found[channel] for channel in channels]

    def _decode(self, flat: int) -> _Plane:
        if not self.held.is_interleaved:
            return _decode(self._tiff, self.series, flat, self._file, self._name)
        rows = self.held.length("Y")
        numbers = [
            _decode(self._tiff, self.series, flat * rows + row, self._file, self._name).numbers for row in range(rows)
        ]
        return _Plane(np.stack(numbers), False)

    def _split(
        self,
        numbers: np.ndarray,
        num_outer: int,
        wanted: Sequence[range],
        channel: int | None,
        channels: Sequence[int],
    ) -> list[tuple[int, np.ndarray]]:
        """Planes (H, W) or (H, W, S) of what a directory holds, each with its channel; `channel` is that of all."""
        axes = self.held.axes[num_outer:]
        if numbers.ndim != len(axes):  # libtiff gives pixels as (H, W) or (H, W, S)
            is_split = numbers.ndim == 3 and "C" in axes and "S" not in axes
            return [(c, numbers[..., c]) for c in channels] if is_split else [(channel or 0, numbers)]
        others = [i for i, axis in enumerate(axes) if axis not in "YXS"]
        parts = []
        for place in product(*(wanted[num_outer + i] for i in others)):
            at = dict(zip(others, place, strict=True))
            own = next((at[i] for i in others if axes[i] == "C"), channel or 0)
            if own not in channels:
                continue
            part = numbers[tuple(at.get(i, slice(None)) for i in range(len(axes)))]
            left = "".join(axis for i, axis in enumerate(axes) if i not in at)
            parts.append((own, part.transpose([left.index(axis) for axis in "YXS" if axis in left])))
        return parts


def _upright(stored: Stored, num_summed: int) -> Stored:
    """With bright pixels large, so that planes can be compared; in a type that holds the sum of so many."""
    numbers = stored.numbers
    if stored.is_zero_white:
        numbers = -numbers if numbers.dtype.kind == "f" else ~numbers
    if num_summed:
        kind = numbers.dtype.kind
        wide = {"f": np.float64, "i": np.int64}.get(kind, np.uint64)
        if kind in "bui" and numbers.dtype.itemsize <= 2 and num_summed <= _MAX_SUMMED >> (kind == "i"):
            wide = np.int32 if kind == "i" else np.uint32
        numbers = numbers.astype(wide)
    return stored._replace(numbers=numbers, is_zero_white=False)


def _stored(numbers: np.ndarray, page: Any, is_ready: bool) -> Stored:
    if is_ready:
        return Stored(numbers)
    photometric = int(page.photometric)
    if photometric == 3:
        table = np.asarray(page.colormap)  # (3, colours)
        table = (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8).T
        numbers = table[np.minimum(numbers, len(table) - 1)]
    elif page.bitspersample < 8 and numbers.dtype == np.uint8:
        numbers = numbers * np.uint8(255 // (2**page.bitspersample - 1))
    tag = page.tags.get(274)
    turn = tag.value if tag is not None and tag.value in range(1, 9) else 1
    return Stored(numbers[..., :4] if numbers.ndim == 3 else numbers, _alpha(page), photometric == 0, turn)


def _alpha(page: Any) -> Alpha:
    if not page.extrasamples:
        return "straight" if page.samplesperpixel == 4 or page.samplesperpixel == 1 else "none"
    return {1: "premultiplied", 2: "straight"}.get(int(page.extrasamples[0]), "none")  # pyright: ignore[reportReturnType]


def _decode(tiff: Any, series: Any, index: int, file: BinaryIO, name: str) -> _Plane:
    key = series.keyframe
    if series.dataoffset is not None and len(series.pages) == 1 and key.size < series.size:
        # ImageJ and others write one directory for all pages, which follow one another.
        tiff.filehandle.seek(series.dataoffset + index * key.nbytes)
        numbers = tiff.filehandle.read_array(np.dtype(tiff.byteorder + key.dtype.char), key.size)
        return _Plane(numbers.reshape(key.shape).astype(key.dtype, copy=False), False)
    page = series.pages[index]
    if page is None:
        raise ImageError(f"{name}: this page is in another file of the set")
    _expect_whole(page, tiff, name)
    if int(key.photometric) in (0, 1, 2, 3) and not key.is_subsampled:
        try:
            return _Plane(page.asarray(), False)
        except Exception as error:
            if "imagecodecs" not in str(error):
                raise
    numbers = _decode_with_libtiff(file, page)
    if numbers is None:
        raise ImageError(
            f"{name}: {key.compression.name} compression of {key.bitspersample}-bit {key.photometric.name} pixels "
            "needs the extra imagecodecs (pip install 'maskrcnn[imagecodecs]')"
        )
    return _Plane(numbers, True)


def _expect_whole(page: Any, tiff: Any, name: str) -> None:
    ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False) if count]
    if not page.dataoffsets or max(ends, default=0) > tiff.filehandle.size:
        raise ImageError(
            f"{name}: the image file is cut off: it has {tiff.filehandle.size} bytes, and names pixels up to "
            f"{max(ends, default=0)}"
        )


def _decode_with_libtiff(file: BinaryIO, page: Any) -> np.ndarray | None:
    """What Pillow or OpenCV read as tifffile would, upright and with zero black; None where they do not."""
    file.seek(0)
    samples, is_deep = page.samplesperpixel, page.bitspersample > 8
    if samples > 1 and is_deep:
        if page.index or int(page.planarconfig) != 1 or int(page.photometric) != 2 or page.dtype.kind == "i":
            return None
        pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
        return rgb_order(pixels) if pixels is not None and pixels.dtype == page.dtype else None
    with Image.open(file, formats=["TIFF"]) as image:
        image.seek(page.index)
        image.load()
        if image.mode in DEEP_MODES:
            numbers = np.array(image)
            return None if int(page.photometric) == 0 else numbers
        if is_deep or samples > 4:
            return None
        mode = image.mode if image.mode in ("1", "L") else "RGBA" if image.has_transparency_data else "RGB"
        return pil_to_array(image, mode)
