"""Pictures that Pillow opens, everything but TIFF: each frame as it is stored. 16-bit colour goes to OpenCV."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image

from maskrcnn.data.pictures.limits import (
    DEEP_PNG_COPIES,
    MAX_JPEG_SCANS,
    MAX_SMALL_READS,
    ImageError,
    expect_file_within,
    expect_within,
)
from maskrcnn.data.pictures.pixels import Stored, strips

DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
ROWS = 1024
"""Pillow's pixels become an array in strips, since each way between them takes copies."""
BLOCK_BYTES = 1 << 20
"""Of a file that is looked through."""
SMALL_BYTES = 8

_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 2, "PA": 2, "La": 2, "RGB": 3} | dict.fromkeys(DEEP_MODES[2:], 2)
_EXIF_ORIENTATION = 0x0112
_reader_lock = threading.Lock()
_num_readers = 0
_pillow_limit: int | None = None


def open_raster(file: BinaryIO, format: str, name: str, max_pixels: int | None) -> Image.Image:
    """The header of a picture of this format, within the limits; no pixel is decoded.

    Raises:
        ImageError: beyond a limit (`ImageTooLargeError` if `max_pixels` would allow it).
        Exception: whatever Pillow raises for a damaged header.
    """
    file_bytes = file.seek(0, 2)
    file.seek(0)
    expect_file_within(name, file_bytes, max_pixels, format)
    with _unlimited_pillow():
        image = Image.open(_FewReads(file, name), formats=[format])  # pyright: ignore[reportArgumentType]
    is_deep = _loses_depth(image)
    bytes_per_pixel = _stored_bits(image) / 8 * (2 if is_deep else 1)
    held_bytes = DEEP_PNG_COPIES * file_bytes if is_deep else 0
    expect_within(name, (image.height, image.width), bytes_per_pixel, max_pixels, file_bytes, format, held_bytes)
    if format == "JPEG" and image.info.get("progressive"):
        num_scans = _num_scans(file)
        if num_scans > MAX_JPEG_SCANS:
            raise ImageError(f"{name}: {num_scans} scans in a progressive JPEG, more than the {MAX_JPEG_SCANS} allowed")
    file.seek(0)
    return image


class _FewReads:
    """A file that is read a few bytes at a time only so often; see `MAX_SMALL_READS`."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._num_small = file, name, 0

    def read(self, size: int = -1, /) -> bytes:
        if 0 <= size <= SMALL_BYTES:
            self._num_small += 1
            if self._num_small > MAX_SMALL_READS:
                raise ImageError(f"{self._name}: what lies between the parts of this file is no image; it is damaged")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __repr__(self) -> str:  # which Pillow puts into messages
        return repr(self._name)


def _num_scans(file: BinaryIO) -> int:
    """Marks of a scan in a JPEG file."""
    file.seek(0)
    num, last = 0, b""
    while block := file.read(BLOCK_BYTES):
        num += (last + block).count(b"\xff\xda")
        last = block[-1:]  # a mark may lie across
    return num


def read_raster(image: Image.Image, file: BinaryIO, frame: int = 0) -> Stored:
    """A frame of what `open_raster` opened, as it is shown: with what earlier ones left. Frames in order are cheap."""
    if num_frames(image) > 1:
        with _unlimited_pillow():
            image.seek(frame + has_stand_in(image))
        return pil_numbers(image)
    if not _loses_depth(image):
        return pil_numbers(image)
    file.seek(0)
    # Not imread: on Windows it cannot open a path with letters outside the code page.
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("16-bit colour that OpenCV does not decode")
    return Stored(rgb_order(pixels), orientation=orientation(image))


def num_frames(image: Image.Image) -> int:
    """Frames of an animation, or pictures of one scene in a JPEG; not a phone's preview or gain map."""
    if image.format == "MPO":
        entries = (getattr(image, "mpinfo", None) or {}).get(0xB002, [])
        return sum("Multi-Frame" in str(entry.get("Attribute", {}).get("MPType")) for entry in entries) or 1
    if not getattr(image, "is_animated", False):
        return 1
    return max(getattr(image, "n_frames", 1) - has_stand_in(image), 1)


def has_stand_in(image: Image.Image) -> bool:
    """Whether the first frame of an APNG is a picture for programs that show no animation, and no part of it."""
    return bool(getattr(image, "default_image", False)) and getattr(image, "n_frames", 1) > 1


def pil_numbers(image: Image.Image) -> Stored:
    """The numbers of a PIL image of any mode; its pixels are decoded here."""
    with _unlimited_pillow():
        image.load()
    # After load: Pillow turns TIFF itself while decoding and then forgets the tag.
    turn = orientation(image)
    if image.mode in DEEP_MODES:
        return Stored(np.asarray(image), orientation=turn)
    transparent = image.has_transparency_data
    mode = "RGBA" if transparent else image.mode if image.mode in ("1", "L", "RGB") else "RGB"
    return Stored(pil_to_array(image, mode), orientation=turn)


def pil_to_array(image: Image.Image, mode: str) -> np.ndarray:
    """Pixels of a loaded image after conversion to "1" (as 0 and 255), "L", "RGB" or "RGBA", uint8, a new array."""
    channels = len(mode)
    out = np.empty((image.height, image.width, channels)[: 2 if channels == 1 else 3], np.uint8)
    for row in range(0, image.height, ROWS):
        is_whole = image.height <= ROWS
        strip = image if is_whole else image.crop((0, row, image.width, min(row + ROWS, image.height)))
        strip = np.asarray(strip if strip.mode == mode else strip.convert(mode))
        out[row : row + ROWS] = (strip.view(np.uint8) > 0) * np.uint8(255) if mode == "1" else strip
    return out


def rgb_order(pixels: np.ndarray) -> np.ndarray:
    """OpenCV's BGR or BGRA, any type, as RGB or RGBA, exchanged in place; grey as it is."""
    if pixels.ndim == 2 or pixels.shape[2] not in (3, 4):
        return pixels
    for rows in strips(pixels):
        pixels[rows, :, :3] = pixels[rows, :, 2::-1].copy()
    return pixels


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where it is not said."""
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF data: like a viewer, show the picture as it is stored
        return 1


@contextlib.contextmanager
def _unlimited_pillow() -> Iterator[None]:
    """Lift Pillow's limit of 179 megapixels, which is one for the whole process, while any thread reads here."""
    global _num_readers, _pillow_limit
    with _reader_lock:
        if _num_readers == 0:
            _pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _num_readers += 1
    try:
        yield
    finally:
        with _reader_lock:
            _num_readers -= 1
            if _num_readers == 0:
                Image.MAX_IMAGE_PIXELS = _pillow_limit


def _raw_mode(image: Image.Image) -> str:
    """How the file stores its numbers, such as "RGB;16B" or "P;1"."""
    tiles = getattr(image, "tile", None) or ()
    return str(tiles[0][3]) if tiles else ""


def _loses_depth(image: Image.Image) -> bool:
    """Whether Pillow would keep only the high byte of 16-bit colour."""
    return image.format == "PNG" and image.mode not in DEEP_MODES and ";16" in _raw_mode(image)


def _stored_bits(image: Image.Image) -> int:
    """Bits of a pixel, all channels together."""
    if image.mode == "1":
        return 1
    few = _raw_mode(image).rpartition(";")[2].rstrip("I")
    return int(few) if few in ("1", "2", "4") else 8 * _BYTES.get(image.mode, 4)
