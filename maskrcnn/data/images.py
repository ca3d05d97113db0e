"""Turn any image file, PIL image or array into one form: RGB uint8 (H, W, 3), upright as its EXIF orientation says."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from maskrcnn.data.pages import Page, PictureFile, Planes, Reading, open_pages
from maskrcnn.data.pictures.limits import ImageError, ImageTooLargeError, expect_within
from maskrcnn.data.pictures.opening import one_sentence
from maskrcnn.data.pictures.pixels import ValueRange, numbers_to_rgb, scale_to_uint8, stretch_to_uint8
from maskrcnn.data.pictures.raster import pil_numbers
from maskrcnn.untrusted.names import printable

__all__ = [
    "ImageError",
    "ImageLike",
    "ImageTooLargeError",
    "PartOfFile",
    "ValueRange",
    "read_image",
    "stretch_to_uint8",
    "to_rgb",
]


ImageLike = str | Path | bytes | Image.Image | np.ndarray | Tensor
"""What one picture may be given as; see `to_rgb`."""


class PartOfFile(UserWarning):
    """A file holds more than was read; the message names the file, what it holds, and what was taken."""


def read_image(
    path: str | Path,
    *,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
    page: int | None = None,
) -> np.ndarray:
    """Read one image file as RGB uint8 (H, W, 3), a contiguous array of its own.

    - The format is known by content, not by name; those of `maskrcnn.data.pictures.kinds.READ` are opened.
    - The EXIF orientation is applied, so the array is what an image viewer shows.
    - Transparency is laid over white, as a web page or a document shows it; where every pixel is fully transparent the
      alpha channel is taken for a mistake of the writer and ignored.
    - What has more than 8 bits becomes 8 by the rule in `maskrcnn.data.pictures.pixels`.
    - Of several pages or frames the first is read, planes of depth become their maximum, and a `PartOfFile` warning
      says so; `maskrcnn.read_pages` reads all. Several channels that are not RGB(A) are an error unless `channel` says
      which.

    Args:
        max_pixels: pixels that the picture may have, decided from the header, before memory is taken; None takes
            `default_max_pixels()`, 200 million where memory allows.
        channel: of a file with several: its number from 0, its name, or "max" for the maximum of all.
        planes: of depth: "max", "sum" or the number of one, from 0; or "each", which makes them pages.
        page: its number from 0; None reads the first, and warns where there are more.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: not a regular file, empty, not an image, damaged, beyond a limit (`ImageTooLargeError`), or a page,
            plane or channel that is not there.
    """
    return read_by(path, Reading(max_pixels, channel, planes), page)


def read_by(path: str | Path, reading: Reading, page: int | None = None) -> np.ndarray:
    """`read_image` by a `Reading`."""
    with open_pages(path, reading) as file:
        return _read(file, printable(str(path)), reading, page).image


def to_rgb(
    image: ImageLike,
    value_range: ValueRange | None = None,
    *,
    max_pixels: int | None = None,
    looks_for: Sequence[str] = (),
) -> np.ndarray:
    """Return any accepted image as RGB uint8 (H, W, 3), contiguous.

    - A path is read by `read_image`; `bytes` are an encoded image (the content of a PNG or JPEG file), a PIL image
      is decoded: all by the same rules, and without `value_range`.
    - A uint8 array (H, W, 3) is RGB and is returned as it is, without a copy; (H, W) and (H, W, 1) are grey; (H, W, 4)
      is RGBA and is laid over white.
    - A tensor is as an array, on any device; (3, H, W) and (1, H, W), as torchvision has them, are taken too.
    - Other numbers need `value_range`, the (low, high) that become 0 and 255; what lies outside is clipped. It is never
      guessed, because 0..1, 0..255 and 0..65535 cannot be told apart safely. NaN is an error.

    Args:
        looks_for: names of classes: of a file with several channels the one is read whose name says so.

    Raises:
        FileNotFoundError: a path that does not exist.
        ImageError: anything else that cannot be used.
    """
    if isinstance(image, str | Path | bytes | Image.Image):
        if value_range is not None:
            raise ImageError("value_range is for arrays and tensors of numbers; an image file says its range itself")
        if isinstance(image, Image.Image):
            return _pil_to_rgb(image, max_pixels)
        reading = Reading(max_pixels, looks_for=tuple(looks_for))
        if isinstance(image, bytes):
            return _read(PictureFile(io.BytesIO(image), "encoded image", "", reading), "encoded image", reading).image
        with open_pages(image, reading) as file:
            return _read(file, printable(str(image)), reading).image
    expected = "expected an image path, encoded bytes, a PIL image or a (H, W, 3) uint8 RGB array or tensor"
    if not isinstance(image, np.ndarray | Tensor):
        raise ImageError(f"{expected}, got {type(image).__module__}.{type(image).__name__}")
    got = f"got {tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}"
    is_tensor = isinstance(image, Tensor)
    pixels = _numbers(image) if is_tensor else image
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) and pixels.shape[2] not in (1, 3, 4):
        if not is_tensor:
            raise ImageError(f"{expected}, {got}; for channels first, pass image.transpose(1, 2, 0)")
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)) or pixels.size == 0:
        raise ImageError(f"{expected}, {got}")
    if value_range is not None:
        pixels = scale_to_uint8(pixels, value_range)
    elif pixels.dtype != np.uint8:
        raise ImageError(
            f"{expected}, {got}; for other numbers pass value_range, what is black and what is full intensity, "
            "such as (0, 1) or (0, 65535)"
        )
    return numbers_to_rgb(pixels)


def _numbers(image: Tensor) -> np.ndarray:
    image = image.detach().cpu()
    return (image if image.dtype != torch.bfloat16 else image.float()).numpy()  # numpy has no bfloat16


def _pil_to_rgb(image: Image.Image, max_pixels: int | None) -> np.ndarray:
    name = printable(str(getattr(image, "filename", "") or "PIL image"))
    with one_sentence(name):
        expect_within(name, (image.height, image.width), len(image.getbands()), max_pixels, 0, "")
        return pil_numbers(image).rgb()


def _read(file: PictureFile, name: str, reading: Reading, page: int | None = None) -> Page:
    """The page that was asked for, or the first, with a warning that says what is not read."""
    found = file.read(page or 0)
    said = list(found.notes) if reading.planes is None else []
    if page is None and file.held:
        said.insert(0, f"the file has {file.held}; only the first is read")
    if said:
        warnings.warn(f"{name}: {'; '.join(said)}", PartOfFile, stacklevel=3)
    return found
