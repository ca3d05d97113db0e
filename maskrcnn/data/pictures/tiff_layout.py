"""What a TIFF holds, from its directories and metadata alone: axes, pages, names of channels, the size of a pixel.

Axes are tifffile's letters: Y X pixels, S samples of a pixel (RGB, alpha), C channels, Z depth, T time, P position, I
and Q pages of unknown meaning, others.
"""

import math
import re
from typing import Any, Literal, NamedTuple

import numpy as np

from maskrcnn.data.pictures.geo import ground_size_um
from maskrcnn.data.pictures.kinds import CAMERA_RAW
from maskrcnn.data.pictures.limits import MAX_PAGES, ImageError

Planes = Literal["max", "sum", "each"] | int
"""What is read of planes of depth: their maximum, their sum, each as a page of its own, or the one of a number from
0."""
OF_A_PAGE = frozenset("YXSC")
UNKNOWN = frozenset("IQ")
MAX_INTERLEAVED = 8
"""Pages that are so narrow, or narrower, are no pictures: their columns are channels of one."""
PRINT_DPI = frozenset((72, 96, 100, 150, 200, 240, 300))
"""Resolutions that programs write who know of no scale: of screens and of prints."""
_MICROMETRES = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0}
_MICROMETRES |= {"nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0}
_UNIT = {2: 25400.0, 3: 10000.0}  # of the resolution tags: inch, centimetre


class TiffLayout(NamedTuple):
    """One series of pictures of one size and type."""

    axes: str
    """One letter for each of `shape`; a letter may be there twice."""
    shape: tuple[int, ...]
    dtype: np.dtype
    channel_names: tuple[str, ...]
    """One for each channel; "" where the file says none. A single channel, or RGB(A), gives ()."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel, where metadata says it."""
    is_interleaved: bool
    """Each row of a picture is a directory of its own, with the channels as its columns."""

    def length(self, axes: str) -> int:
        """Product of the lengths of these axes; 1 for those that there are not."""
        return math.prod(n for axis, n in zip(self.axes, self.shape, strict=True) if axis in axes)

    def depth(self, planes: Planes | None) -> int | None:
        """Which axis is depth; with `planes` given, the only one of unknown meaning is taken for it where none says."""
        if "Z" in self.axes:
            return self.axes.index("Z")
        unknown = [i for i, axis in enumerate(self.axes) if axis in UNKNOWN]
        return unknown[0] if planes is not None and len(unknown) == 1 else None

    def page_axes(self, planes: Planes | None) -> list[int]:
        """Which axes are pages, the slowest first."""
        depth = None if planes == "each" else self.depth(planes)
        return [i for i, axis in enumerate(self.axes) if axis not in OF_A_PAGE and i != depth]

    def num_pages(self, planes: Planes | None) -> int:
        """Pictures of time, position or unknown meaning, each of all channels, and of all planes but with "each"."""
        return math.prod(self.shape[i] for i in self.page_axes(planes))

    def indices(self, page: int, planes: Planes | None, name: str) -> list[range]:
        """Of each axis the indices that this page is made of.

        Raises:
            ImageError: there is no such plane of depth.
        """
        pages, depth = self.page_axes(planes), self.depth(planes)
        wanted = [range(n) for n in self.shape]
        at = np.unravel_index(page, [self.shape[i] for i in pages]) if pages else ()
        for i, index in zip(pages, at, strict=True):
            wanted[i] = range(int(index), int(index) + 1)
        if depth is not None and isinstance(planes, int):
            num = self.shape[depth]
            if not 0 <= planes < num:
                raise ImageError(f"{name}: no plane {planes} of depth in this file, which has {num}, from 0")
            wanted[depth] = range(planes, planes + 1)
        return wanted

    def place(self, page: int, planes: Planes | None) -> dict[str, int]:
        """Where a page is along the axes that have a meaning, such as {"T": 3, "P": 0}."""
        wanted = self.indices(page, None if isinstance(planes, int) else planes, "")
        return {self.axes[i]: wanted[i].start for i in self.page_axes(planes) if self.axes[i] not in UNKNOWN}


def pictures_of(tiff: Any, name: str) -> tuple[list[tuple[Any, TiffLayout]], int]:
    """The series of pictures in a file, each with its layout; and how many there are that are not read.

    Thumbnails, transparency masks and the lower levels of pyramids are no pictures. Of formats of slide scanners, which
    keep a label and an overview beside the slide, the first series is read.

    Raises:
        ImageError: there is no picture, a camera's raw data, more pages than are allowed.
    """
    if not tiff.pages:
        raise ImageError(f"{name}: there is no image in this TIFF")
    if tiff.pages[0].is_dng or int(tiff.pages[0].photometric) in (32803, 34892):  # a colour filter array, linear raw
        raise ImageError(f"{name}: not an image that can be read: it is {CAMERA_RAW}")
    if tiff.is_ome:
        _expect_few_claims(tiff.ome_metadata or "", name)
    full = [series for series in tiff.series if not (series.keyframe.is_reduced or series.keyframe.is_mask)]
    series = full or list(tiff.series)[:1]
    is_slide = any(getattr(tiff, f"is_{kind}", False) for kind in ("svs", "ndpi", "scn", "bif", "philips", "qpi"))
    kept = series[:1] if is_slide else series
    found = [(one, _layout(tiff, one)) for one in kept]
    num_pages = sum(math.prod(one.shape) // max(one.length("YXS"), 1) for _, one in found)
    if num_pages > MAX_PAGES:
        raise ImageError(f"{name}: {num_pages:,} pages, planes and channels, more than the {MAX_PAGES:,} allowed")
    return found, len(series) - len(kept)


def _expect_few_claims(xml: str, name: str) -> None:
    """Refuse OME metadata of more pages than a file has: tifffile makes a list of all, whether they are there or not.

    Raises:
        ImageError: says how many they claim.
    """
    for pixels in re.findall(r"<(?:\w+:)?Pixels\b[^>]*", xml):
        num = math.prod(int(digits) for digits in re.findall(r"\bSize[ZCT]\s*=\s*[\"'](\d{1,18})", pixels))
        if num > MAX_PAGES:
            raise ImageError(f"{name}: its metadata claim {num:,} pages, more than the {MAX_PAGES:,} allowed")


def _layout(tiff: Any, series: Any) -> TiffLayout:
    axes, shape = series.axes, tuple(series.shape)
    is_interleaved = _is_interleaved(series)
    if is_interleaved:
        axes = "Q" * (len(shape) - 3) + ("YXS" if shape[-1] in (3, 4) else "YXC")
    elif "S" in axes and not _is_colour(series.keyframe, shape[axes.index("S")]):
        axes = axes.replace("S", "C" if "C" not in axes else "Q")
    num_channels = shape[axes.index("C")] if "C" in axes else 1
    names = _channel_names(tiff, series, num_channels) if num_channels > 1 else ()
    return TiffLayout(axes, shape, np.dtype(series.dtype), names, _pixel_size(tiff, series), is_interleaved)


def _is_interleaved(series: Any) -> bool:
    """Whether (H, W, channels) was saved as H pages of W x channels, and the shape in its metadata says so."""
    shape = series.shape
    is_flat = series.kind == "shaped" and len(shape) >= 3 and len(series.keyframe.shape) == 2
    return is_flat and 2 <= shape[-1] <= MAX_INTERLEAVED < min(shape[-3:-1])


def _is_colour(page: Any, num_samples: int) -> bool:
    """Whether the samples of a pixel are its colour, with alpha or without."""
    if int(page.photometric) in (0, 1):
        return num_samples == 1 + len(page.extrasamples) == 2 and int(page.extrasamples[0]) in (1, 2)
    return True


def _ome_pixels(tiff: Any, series: Any) -> dict[str, Any]:
    """The record `Pixels` of the OME image that a series is."""
    import tifffile

    images = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    images = images if isinstance(images, list) else [images]
    all_series = list(tiff.series)
    number = all_series.index(series) if series in all_series and len(images) == len(all_series) else 0
    return images[number]["Pixels"]


def _channel_names(tiff: Any, series: Any, num_channels: int) -> tuple[str, ...]:
    found: list[str] = []
    try:
        if tiff.is_ome:
            channels = _ome_pixels(tiff, series).get("Channel", [])
            channels = channels if isinstance(channels, list) else [channels]
            found = [str(one.get("Name") or one.get("Fluor") or "") for one in channels]
        elif tiff.is_imagej:
            found = [str(one) for one in (tiff.imagej_metadata or {}).get("Labels", [])]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # metadata of strangers
        found = []
    return tuple([*found, *[""] * num_channels][:num_channels])


def _pixel_size(tiff: Any, series: Any) -> tuple[float, float] | None:
    try:
        if tiff.is_ome:
            pixels = _ome_pixels(tiff, series)
            sides = [
                float(pixels[f"PhysicalSize{axis}"]) * _MICROMETRES[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
                for axis in "YX"
            ]
        elif tiff.is_svs:
            fields = (part.partition("=") for part in series.keyframe.description.split("|"))
            sides = 2 * [next(float(value) for name, _, value in fields if name.strip() == "MPP")]
        elif tiff.is_geotiff:
            ground = ground_size_um(series.keyframe.geotiff_tags)
            if ground is None:
                return None
            sides = list(ground)
        else:
            unit = _MICROMETRES.get(str((tiff.imagej_metadata or {}).get("unit"))) if tiff.is_imagej else None
            tags = series.keyframe.tags
            is_said = unit is not None
            unit = unit or _UNIT[int(tags[296].value)]
            sides = [unit * tags[tag].value[1] / tags[tag].value[0] for tag in (283, 282)]
            if not is_said and any(_is_of_print(25400.0 / side) for side in sides):
                return None
    except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError, AttributeError, StopIteration):
        return None
    return (sides[0], sides[1]) if all(0 < side < 1e9 for side in sides) else None


def _is_of_print(dpi: float) -> bool:
    return abs(dpi - round(dpi)) < 0.05 and round(dpi) in PRINT_DPI
