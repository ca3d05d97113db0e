"""TIFF of every kind, read by tifffile: what it holds, and one plane as numbers (H, W) or (H, W, S).

Axes are tifffile's letters: Y X pixels, S samples of a pixel (RGB, alpha), C channels, Z depth, T time, P position, I
and Q pages of unknown meaning, others. Codecs that tifffile has only with imagecodecs (LZW, JPEG, CCITT) go to the
libtiff of Pillow and OpenCV where that reads the same numbers.
"""

import math
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image

from maskrcnn.data.pictures.kinds import CAMERA_RAW
from maskrcnn.data.pictures.limits import ImageError, expect_within
from maskrcnn.data.pictures.pixels import Alpha, Stored
from maskrcnn.data.pictures.raster import DEEP_MODES, pil_to_array, rgb_order

NO_PAGES = frozenset("YXSCZ")
"""Axes that are not pages; every other is."""
_MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "inch": 25400.0}
_UNIT = {2: 25400.0, 3: 10000.0}  # of the resolution tags: inch, centimetre


class TiffLayout(NamedTuple):
    """What a file's directories and metadata say."""

    axes: str
    """One letter for each of `shape`."""
    shape: tuple[int, ...]
    dtype: np.dtype
    channel_names: tuple[str, ...]
    """One for each channel; "" where the file says none. A single channel, or RGB(A), gives ()."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel, where metadata says it."""
    num_others: int
    """Series of pictures with other sizes or types in the same file, which are not read; no thumbnails."""

    def length(self, axes: str) -> int:
        """Product of the lengths of these axes; 1 for those that there are not."""
        return math.prod(n for axis, n in zip(self.axes, self.shape, strict=True) if axis in axes)

    @property
    def num_pages(self) -> int:
        """Pictures of time, position or unknown meaning, each of all channels and planes."""
        return math.prod(n for axis, n in zip(self.axes, self.shape, strict=True) if axis not in NO_PAGES)


class _Plane(NamedTuple):
    numbers: np.ndarray
    """(H, W) or (H, W, S)."""
    is_ready: bool
    """libtiff has turned it upright and inverted it where zero is white."""


def open_tiff(file: BinaryIO, name: str) -> Any:
    """A `tifffile.TiffFile`, to be closed; other files that its metadata names are never opened."""
    import tifffile  # takes 30 ms, and most pictures are no TIFF

    return closing(tifffile.TiffFile(file, name=name, _multifile=False))


def layout(tiff: Any, name: str) -> TiffLayout:
    """What the file holds, from its directories alone."""
    series = _series(tiff, name)
    axes, shape = series.axes, series.shape
    if _is_interleaved_pages(series):
        axes = "YXS"
    elif "S" in axes and not _is_colour(series.keyframe, shape[axes.index("S")]):
        axes = axes.replace("S", "C" if "C" not in axes else "Q")
    num_channels = shape[axes.index("C")] if "C" in axes else 1
    names = _channel_names(tiff, num_channels) if num_channels > 1 else ()
    others = sum(one is not series and not one.keyframe.is_reduced for one in tiff.series)
    return TiffLayout(axes, tuple(shape), np.dtype(series.dtype), names, _pixel_size(tiff, series), others)


def read_plane(tiff: Any, file: BinaryIO, name: str, page: int, channel: int | None, max_pixels: int | None) -> Stored:
    """One page as it is stored: depth as its maximum, of several channels one (None: the maximum).

    Raises:
        ImageError: beyond a limit, cut off, a codec that is not there, numbers that are no picture.
    """
    held, series = layout(tiff, name), _series(tiff, name)
    key = series.keyframe
    size = held.length("Y"), held.length("X")
    is_interleaved = _is_interleaved_pages(series)
    bytes_per_pixel = (series.nbytes if is_interleaved else key.nbytes) / max(size[0] * size[1], 1)
    expect_within(name, size, bytes_per_pixel, max_pixels, tiff.filehandle.size, "TIFF")
    if held.dtype.kind not in "biuf":
        raise ImageError(f"{name}: expected numbers, got {held.dtype} pixels")
    if is_interleaved:
        for one in series.pages:
            _expect_whole(one, tiff, name)
        return Stored(series.asarray())
    num_inner = len(key.shape)
    if tuple(held.shape[-num_inner:]) != tuple(key.shape):
        raise ImageError(f"{name}: its pages {key.shape} do not make up the {held.axes} of {held.shape} that it claims")
    outer, inner = held.axes[:-num_inner], held.axes[-num_inner:]
    wanted = {axis: range(1) for axis in outer}
    if "Z" in outer:
        wanted["Z"] = range(held.length("Z"))
    if "C" in outer:
        wanted["C"] = range(held.length("C")) if channel is None else range(channel, channel + 1)
    pages = [axis for axis in outer if axis not in NO_PAGES]
    if pages:
        numbers = np.unravel_index(page, [held.length(axis) for axis in pages])
        wanted |= {axis: range(int(number), int(number) + 1) for axis, number in zip(pages, numbers, strict=True)}
    total: np.ndarray | None = None
    is_ready = False
    for index in np.ndindex(*(len(wanted[axis]) for axis in outer)):
        place = [wanted[axis][at] for axis, at in zip(outer, index, strict=True)]
        flat = int(np.ravel_multi_index(place, held.shape[: len(outer)])) if outer else 0
        plane = _decode(tiff, series, flat, file, name)
        numbers_, is_ready = _inner(plane.numbers, inner, channel), plane.is_ready
        total = numbers_ if total is None else np.maximum(total, numbers_)
    assert total is not None
    return _stored(total, key, is_ready)


def _inner(numbers: np.ndarray, axes: str, channel: int | None) -> np.ndarray:
    """The chosen channel of a page whose axes are these, as (H, W) or (H, W, S)."""
    if numbers.ndim != len(axes):  # libtiff gives pixels as (H, W) or (H, W, S)
        return numbers
    for axis in axes:
        at = axes.index(axis)
        if axis in "YXS":
            continue
        if axis == "C" and channel is not None:
            numbers = numbers.take(channel, at)
        elif axis in "CZ":
            numbers = numbers.max(at)
        else:
            numbers = numbers.take(0, at)
        axes = axes.replace(axis, "")
    return numbers.transpose([axes.index(axis) for axis in "YXS" if axis in axes])


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
        return "straight" if page.samplesperpixel == 4 else "none"
    return {1: "premultiplied", 2: "straight"}.get(int(page.extrasamples[0]), "none")  # pyright: ignore[reportReturnType]


def _series(tiff: Any, name: str) -> Any:
    """The first series that is no thumbnail."""
    if not tiff.pages:
        raise ImageError(f"{name}: there is no image in this TIFF")
    if tiff.pages[0].is_dng or int(tiff.pages[0].photometric) in (32803, 34892):  # a colour filter array, linear raw
        raise ImageError(f"{name}: not an image that can be read: it is {CAMERA_RAW}")
    full = [series for series in tiff.series if not series.keyframe.is_reduced]
    return (full or tiff.series)[0]


def _is_interleaved_pages(series: Any) -> bool:
    """Whether (H, W, 3 or 4) was saved as H pages of W x 4, and the shape in its metadata says so."""
    is_flat = series.kind == "shaped" and len(series.shape) == 3 and len(series.keyframe.shape) == 2
    return is_flat and series.shape[2] in (3, 4) and series.shape[0] > 4


def _is_colour(page: Any, num_samples: int) -> bool:
    """Whether the samples of a pixel are its colour, with alpha or without."""
    if int(page.photometric) in (0, 1):
        return num_samples == 1 + len(page.extrasamples) == 2 and int(page.extrasamples[0]) in (1, 2)
    return True


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


def _channel_names(tiff: Any, num_channels: int) -> tuple[str, ...]:
    import tifffile

    found: list[str] = []
    if tiff.is_ome:
        image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        image = image[0] if isinstance(image, list) else image
        channels = image["Pixels"].get("Channel", [])
        found = [str(one.get("Name", "")) for one in (channels if isinstance(channels, list) else [channels])]
    elif tiff.is_imagej:
        found = [str(one) for one in (tiff.imagej_metadata or {}).get("Labels", [])]
    return tuple([*found, *[""] * num_channels][:num_channels])


def _pixel_size(tiff: Any, series: Any) -> tuple[float, float] | None:
    try:
        if tiff.is_ome:
            import tifffile

            image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
            pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
            sides = [
                float(pixels[f"PhysicalSize{axis}"]) * _MICROMETRES[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
                for axis in "YX"
            ]
        else:
            unit = _MICROMETRES.get(str((tiff.imagej_metadata or {}).get("unit"))) if tiff.is_imagej else None
            tags = series.keyframe.tags
            unit = unit or _UNIT[int(tags[296].value)]
            sides = [unit * tags[tag].value[1] / tags[tag].value[0] for tag in (283, 282)]
    except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError):
        return None
    return (sides[0], sides[1]) if all(0 < side < 1e9 for side in sides) else None
