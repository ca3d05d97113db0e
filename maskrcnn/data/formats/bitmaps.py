"""Masks kept as pictures: a whole number for each object, the objects as RLEs.

H, W of the picture; values are what its pixels hold, whatever the file's depth, palette places and not colours.
"""

from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps

from maskrcnn.data.pictures.kinds import START_BYTES, recognise
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.pictures.raster import open_raster
from maskrcnn.structures.rle import Rle, boundaries_to_rles, crop

_LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000")


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
        if pixels.shape[2] not in (3, 4) or (colour != colour[..., :1]).any():
            raise ValueError(f"{path}: expected one number for each pixel, got colours ({image.mode})")
        pixels = colour[..., 0]
    if image.mode == "I" and pixels.dtype == np.int32 and (pixels < 0).any():
        raise ValueError(f"{path}: expected numbers from 0 (the background) on, got {pixels.min()}")
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels).all() and (pixels % 1 == 0).all() and pixels.min() >= 0):
        raise ValueError(f"{path}: expected whole numbers from 0 (the background) on, got fractions or NaN")
    return pixels if pixels.dtype.kind == "u" else pixels.astype(np.int64)


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
    """The pixels of each number in (H, W) except 0, ascending, as RLE with holes and all parts."""
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
    rles = boundaries_to_rles(boundaries, 2 * num_runs, (height, width))
    return dict(zip(numbers.tolist(), rles, strict=True))


def num_scattered(rle: Rle) -> int:
    """How many parts a mask has, if one is farther from the largest than that is long; otherwise 0.

    An object behind another is in parts near each other; objects that share a number are anywhere.
    """
    _, _, bitmap = crop(rle)
    if not bitmap.size:  # OpenCV would end the process
        return 0
    num, _, stats, _ = cv2.connectedComponentsWithStats(bitmap.astype(np.uint8), connectivity=8)
    if num <= 2:  # the background and one part
        return 0
    parts = stats[1:]
    corner, side = parts[:, :2], parts[:, 2:4]
    largest = int(np.argmax(parts[:, cv2.CC_STAT_AREA]))
    gaps = np.maximum(corner - (corner + side)[largest], corner[largest] - (corner + side)).max(axis=1)
    return num - 1 if gaps.max() > side[largest].max() else 0
