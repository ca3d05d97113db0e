"""Masks kept as pictures: a whole number for each object, the objects as RLEs.

H, W of the picture; values are what its pixels hold, whatever the file's depth, palette places and not colours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps

from maskrcnn.data.pictures.kinds import START_BYTES, recognise
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.pictures.pixels import strips
from maskrcnn.data.pictures.raster import open_raster
from maskrcnn.structures.rle import Rle, boundaries_to_rles, crop, rle_window

_LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000")
MAX_RUNS = 20_000_000
"""Runs of equal pixels down the columns of a mask: a million cells have so many. Noise has as many as pixels, and each
takes 60 bytes on the way."""
MAX_OBJECTS = 1_000_000
"""Of a label image."""
LOOKED_AT, MAX_WINDOW_PX = 20, 50_000_000
"""`scattered` looks at the smallest objects whose frames together are so many pictures, none larger than this."""


def read_values(path: Path) -> np.ndarray:
    """The numbers of a label image, whole, (H, W), at least 0, upright as its EXIF orientation says.

    Raises:
        ValueError: not a picture, a lossy format (which changes numbers), colours, fractions or negative numbers.
    """
    image = open_mask(path)
    pixels = np.asarray(image)
    if image.mode == "LA":
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        colour = pixels[..., :3]
        if pixels.shape[2] not in (3, 4) or any((colour[r] != colour[r, :, :1]).any() for r in strips(colour)):
            raise ValueError(f"{path}: expected one number for each pixel, got colours ({image.mode})")
        pixels = colour[..., 0]
    if image.mode == "I" and pixels.dtype == np.int32 and (pixels < 0).any():
        raise ValueError(f"{path}: expected numbers from 0 (the background) on, got {pixels.min()}")
    if pixels.dtype.kind == "f":
        if not all(_is_whole(pixels[rows]) for rows in strips(pixels)):
            raise ValueError(f"{path}: expected whole numbers from 0 (the background) on, got fractions or NaN")
        return pixels.astype(np.uint32)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels.view(f"u{pixels.dtype.itemsize}")


def _is_whole(numbers: np.ndarray) -> bool:
    return bool(((numbers >= 0) & (numbers < 2**32) & (numbers % 1 == 0)).all())


def open_mask(path: Path, *, is_exact: bool = True) -> Image.Image:
    """A picture that is a mask, upright, decoded; of as many pixels as a picture may have.

    Raises:
        ValueError: not a picture, damaged, beyond the limits of pictures, or, if the numbers in it have to be exact, a
            format that changes them.
    """
    try:
        with path.open("rb") as file:
            return decode_mask(file, str(path), path.suffix, is_exact=is_exact)
    except OSError as error:
        raise ValueError(f"{path}: the mask cannot be read ({error})") from None


def decode_mask(file: BinaryIO, name: str, extension: str = "", *, is_exact: bool = True) -> Image.Image:
    """The same of an open file, which messages call `name`."""
    kind, _ = recognise(file.read(START_BYTES), extension)
    if kind is None:
        raise ValueError(f"{name}: the mask cannot be read (it is not an image)")
    if is_exact and kind in _LOSSY_FORMATS:
        raise ValueError(f"{name}: a mask as {kind} has lost its numbers; expected PNG or TIFF")
    file.seek(0)
    try:
        image = open_raster(file, kind, name, None)
        image.load()
        return ImageOps.exif_transpose(image)
    except ImageError:
        raise
    except Exception as error:  # Pillow raises SyntaxError, zlib.error, struct.error, ... for damaged files
        raise ValueError(f"{name}: the mask cannot be read ({' '.join(str(error).split())[:200]})") from None


def rles_by_value(values: np.ndarray) -> dict[int, Rle]:
    """The pixels of each number in (H, W) except 0, ascending, as RLE with holes and all parts.

    Raises:
        ValueError: more runs or objects than a label image has.
    """
    expect_few_runs(values)
    height, width = values.shape
    by_column = values.T.ravel()
    starts = np.concatenate([[0], np.flatnonzero(by_column[1:] != by_column[:-1]) + 1])
    stops = np.append(starts[1:], len(by_column))
    found = by_column[starts]
    order = np.argsort(found, kind="stable")  # runs of one number stay ascending
    order = order[found[order] != 0]
    boundaries = np.stack([starts[order], stops[order]], axis=1).ravel()
    numbers, num_runs = np.unique(found[order], return_counts=True)
    if not len(numbers):
        return {}
    if len(numbers) > MAX_OBJECTS:
        raise ValueError(f"the mask has {len(numbers)} objects, more than the {MAX_OBJECTS} that are read")
    rles = boundaries_to_rles(boundaries, 2 * num_runs, (height, width))
    return dict(zip(numbers.tolist(), rles, strict=True))


def expect_few_runs(values: np.ndarray) -> None:
    """Raise a ValueError for (H, W) with more than `MAX_RUNS` changes down its columns, before they take memory."""
    num = sum(
        int(np.count_nonzero(values[rows.start + 1 : rows.stop + 1] != values[rows][: len(values) - rows.start - 1]))
        for rows in strips(values)
    )
    if num > MAX_RUNS:
        raise ValueError(f"the mask changes {num} times down its columns, as noise does; at most {MAX_RUNS} are read")


def scattered(rles: Sequence[Rle]) -> list[int]:
    """For each mask of one picture how many parts it has, if one is farther from the largest than that is long.

    An object behind another is in parts near each other; objects that share a number are anywhere. 0 also for those
    that are not looked at, since their frames are too large.
    """
    windows = [rle_window(rle) for rle in rles]
    areas = np.array([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in windows], np.int64)
    order = np.argsort(areas, kind="stable")
    height, width = rles[0]["size"] if rles else (0, 0)
    is_near = (np.cumsum(areas[order]) <= LOOKED_AT * height * width) & (areas[order] <= MAX_WINDOW_PX)
    found = [0] * len(rles)
    for i in order[is_near].tolist():
        found[i] = num_scattered(rles[i])
    return found


def num_scattered(rle: Rle) -> int:
    """The same of one mask, whatever its size."""
    _, _, bitmap = crop(rle)
    if not bitmap.size:  # OpenCV would end the process
        return 0
    num, _, stats, _ = cv2.connectedComponentsWithStats(bitmap.view(np.uint8), connectivity=8)
    if num <= 2:  # the background and one part
        return 0
    parts = stats[1:]
    corner, side = parts[:, :2], parts[:, 2:4]
    largest = int(np.argmax(parts[:, cv2.CC_STAT_AREA]))
    gaps = np.maximum(corner - (corner + side)[largest], corner[largest] - (corner + side)).max(axis=1)
    return num - 1 if gaps.max() > side[largest].max() else 0
