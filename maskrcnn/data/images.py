"""Turn any image file, PIL image or array into one form: RGB uint8 (H, W, 3), upright as its EXIF orientation says."""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from maskrcnn.data.pictures.finding import missing_file, shown
from maskrcnn.data.pictures.kinds import START_BYTES, recognise
from maskrcnn.data.pictures.limits import ImageError, ImageTooLargeError, expect_within
from maskrcnn.data.pictures.pixels import Stored, ValueRange, numbers_to_rgb, scale_to_uint8, stretch_to_uint8
from maskrcnn.data.pictures.raster import num_frames, open_raster, pil_numbers, read_raster
from maskrcnn.data.pictures.tiff import TiffLayout, layout, open_tiff, read_plane

__all__ = [
    "ImageError",
    "ImageLike",
    "ImageTooLargeError",
    "PartOfFile",
    "ValueRange",
    "read_image",
    "read_picture",
    "stretch_to_uint8",
    "to_rgb",
]


ImageLike = str | Path | bytes | Image.Image | np.ndarray | Tensor
"""What one picture may be given as; see `to_rgb`."""


class PartOfFile(UserWarning):
    """A file holds more than was read; the message names the file, what it holds, and what was taken."""


def read_image(path: str | Path, *, max_pixels: int | None = None, channel: int | str | None = None) -> np.ndarray:
    """Read one image file as RGB uint8 (H, W, 3), a contiguous array of its own.

    - The format is known by content, not by name; those of `maskrcnn.data.pictures.kinds.READ` are opened.
    - The EXIF orientation is applied, so the array is what an image viewer shows.
    - Transparency is laid over white, as a web page or a document shows it; where every pixel is fully transparent the
      alpha channel is taken for a mistake of the writer and ignored.
    - What has more than 8 bits becomes 8 by the rule in `maskrcnn.data.pictures.pixels`.
    - Of several pages or frames the first is read, planes of depth become their maximum, and a `PartOfFile` warning
      says so. Several channels that are not RGB(A) are an error unless `channel` says which.

    Args:
        max_pixels: pixels that the picture may have, decided from the header, before memory is taken; None takes
            `default_max_pixels()`, 200 million where memory allows.
        channel: of a file with several: its number from 0, its name, or "max" for the maximum of all.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: not a regular file, empty, not an image, damaged, or beyond a limit (`ImageTooLargeError`).
    """
    return read_picture(path, max_pixels=max_pixels, channel=channel)[0]


def read_picture(
    path: str | Path, *, max_pixels: int | None = None, channel: int | str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`read_image`, and beside it the numbers that the file stores, to be measured: (H, W, 1) or (H, W, 3).

    The latter are of the file's own type, as `Stored.channels` gives them. Arguments and errors are those of
    `read_image`.
    """
    path = Path(path)
    name = shown(path)
    with _opened(path, name) as file:
        stored = _read(file, name, path.suffix, max_pixels, channel)
        with _one_sentence(name):
            return stored.rgb(), stored.channels()


def to_rgb(image: ImageLike, value_range: ValueRange | None = None, *, max_pixels: int | None = None) -> np.ndarray:
    """Return any accepted image as RGB uint8 (H, W, 3), contiguous.

    - A path is read by `read_image`; `bytes` are an encoded image (the content of a PNG or JPEG file), a PIL image
      is decoded: all by the same rules, and without `value_range`.
    - A uint8 array (H, W, 3) is RGB and is returned as it is, without a copy; (H, W) and (H, W, 1) are grey; (H, W, 4)
      is RGBA and is laid over white.
    - A tensor is as an array, on any device; (3, H, W) and (1, H, W), as torchvision has them, are taken too.
    - Other numbers need `value_range`, the (low, high) that become 0 and 255; what lies outside is clipped. It is never
      guessed, because 0..1, 0..255 and 0..65535 cannot be told apart safely. NaN is an error.

    Raises:
        FileNotFoundError: a path that does not exist.
        ImageError: anything else that cannot be used.
    """
    if isinstance(image, str | Path | bytes | Image.Image):
        if value_range is not None:
            raise ImageError("value_range is for arrays and tensors of numbers; an image file says its range itself")
        if isinstance(image, bytes):
            stored = _read(io.BytesIO(image), "encoded image", "", max_pixels, None)
            with _one_sentence("encoded image"):
                return stored.rgb()
        if isinstance(image, Image.Image):
            return _pil_to_rgb(image, max_pixels)
        return read_image(image, max_pixels=max_pixels)
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
    name = shown(getattr(image, "filename", "") or "PIL image")
    with _one_sentence(name):
        expect_within(name, (image.height, image.width), len(image.getbands()), max_pixels, 0, "")
        return pil_numbers(image).rgb()


@contextmanager
def _opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """A regular file, opened; anything else is refused without waiting for it."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        error = missing_file(path, "image file")
        raise error if isinstance(error, FileNotFoundError) else ImageError(str(error)) from None
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
        what = next((noun for is_kind, noun in kinds if is_kind(mode)), "device")
        raise ImageError(f"{name}: expected an image file, got a {what}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{name}: the image file cannot be read ({_reason(error)})") from error
    with file:
        yield file


def _read(file: BinaryIO, name: str, extension: str, max_pixels: int | None, channel: int | str | None) -> Stored:
    with _one_sentence(name):
        format = _recognise(file, extension, name)
        if format != "TIFF":
            image = open_raster(file, format, name, max_pixels)
            frames = num_frames(image)
            if frames > 1:
                _warn(f"{name}: the file has {frames} frames; only the first is read")
            return read_raster(image, file)
        with open_tiff(file, name) as tiff:
            held = layout(tiff, name)
            chosen = _choose_channel(held, channel, name)
            said = _what_is_left_out(held)
            if said:
                _warn(f"{name}: {said}")
            return read_plane(tiff, file, name, 0, chosen, max_pixels)


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Whatever a decoder raises becomes an `ImageError` that names the file: one picture must not end a job."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name}: there is not enough memory to decode the image") from error
    except Exception as error:
        raise ImageError(f"{name}: the image is damaged and cannot be decoded ({_reason(error)})") from error


def _recognise(file: BinaryIO, extension: str, name: str) -> str:
    start = file.read(START_BYTES)
    if not start:
        raise ImageError(f"{name}: the image file is empty (0 bytes)")
    file.seek(0)
    format, otherwise = recognise(start, extension)
    if format is None and otherwise:
        raise ImageError(f"{name}: not an image that can be read: it is {otherwise}")
    if format is None:
        raise ImageError(f"{name}: not an image in a known format (the file begins with {start[:16]!r})")
    return format


def _choose_channel(held: TiffLayout, channel: int | str | None, name: str) -> int | None:
    """The number of the channel to read; None for the maximum, or where there is but one."""
    num_channels = held.length("C")
    if num_channels == 1 or channel == "max":
        return None
    listed = ", ".join(
        f"{number} {title!r}" if title else str(number) for number, title in enumerate(held.channel_names)
    )
    if isinstance(channel, int) and 0 <= channel < num_channels:
        return channel
    if isinstance(channel, str) and channel in held.channel_names:
        return held.channel_names.index(channel)
    if channel is not None:
        raise ImageError(f"{name}: no channel {channel!r} in this file, which has {listed}")
    raise ImageError(
        f"{name}: {num_channels} channels that are not RGB ({listed}); expected to be told which channel to take, by "
        "number or name, or the maximum of all"
    )


def _what_is_left_out(held: TiffLayout) -> str:
    said = []
    if held.num_pages > 1:
        axes = f"axes {held.axes} of {' x '.join(map(str, held.shape))}"
        said.append(f"the file has {held.num_pages} pages ({axes}); only the first is read")
    if held.length("Z") > 1:
        said.append(f"{held.length('Z')} planes of depth are read as their maximum")
    if held.num_others:
        said.append(f"{held.num_others} more images of other sizes or types in the file are not read")
    if held.length("S") > 4:
        said.append(f"of {held.length('S')} samples of a pixel only red, green and blue are read")
    return "; ".join(said)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, PartOfFile, stacklevel=3)


def _reason(error: Exception) -> str:
    """What a library said, short and printable: it may quote the file."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
