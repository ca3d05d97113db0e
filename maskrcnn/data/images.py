"""Turn any image file, PIL image or array into one form: RGB uint8 (H, W, 3), upright as its EXIF orientation says."""

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

# One gigapixel, OpenCV's own limit: above every microscope and satellite tile, below what is only meant to fill memory.
MAX_PIXELS = 2**30
# Percentiles that become 0 and 255 when more than 8 bits per channel have to be shown in 8: a few hot pixels of a
# camera must not turn the rest of the picture black.
STRETCH_PERCENTILES = (0.1, 99.9)
# The percentiles of a larger image are measured on a regular subset of about this many pixels.
STRETCH_SAMPLE_PIXELS = 4_000_000

_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_EXIF_ORIENTATION = 0x0112
_reader_lock = threading.Lock()
_num_readers = 0
_pillow_limit: int | None = None


ImageLike = str | Path | bytes | Image.Image | np.ndarray | Tensor
"""What one picture may be given as; see `to_rgb`."""
ValueRange = tuple[float, float]
"""The numbers of an array that are black and full intensity."""


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the reason."""


def read_image(path: str | Path) -> np.ndarray:
    """Read one image file as RGB uint8 (H, W, 3), a contiguous array of its own.

    - The EXIF orientation is applied, so the array is what an image viewer shows.
    - Transparency is laid over white, as a web page or a document shows it; where every pixel is fully transparent the
      alpha channel is taken for a mistake of the writer and ignored.
    - 16-bit, 32-bit and float images are stretched by `stretch_to_uint8`, all channels together.
    - Of several frames or pages (TIFF, GIF, WebP) the first is read.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: a folder, an empty file, not an image, truncated, or more than `MAX_PIXELS` pixels.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such image file")
    if path.is_dir():
        raise ImageError(f"{path}: expected an image file, got a folder")
    try:
        with path.open("rb") as file:
            # Not imread: on Windows it cannot open a path with letters outside the code page.
            return _read(file, str(path), lambda: np.memmap(path, np.uint8, "r"))
    except OSError as error:
        raise ImageError(f"{path}: the image file cannot be read ({_reason(error)})") from error


def to_rgb(image: ImageLike, value_range: ValueRange | None = None) -> np.ndarray:
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
            raise ImageError("value_range is for arrays and tensors of numbers; a picture file says its range itself")
        if isinstance(image, bytes):
            return _read(io.BytesIO(image), "encoded image", lambda: np.frombuffer(image, np.uint8))
        if isinstance(image, Image.Image):
            return _pil_to_rgb(image, getattr(image, "filename", "") or "PIL image")
        return read_image(image)
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
        pixels = _scale_to_uint8(pixels, value_range)
    elif pixels.dtype != np.uint8:
        raise ImageError(
            f"{expected}, {got}; for other numbers pass value_range, what is black and what is full intensity, "
            "such as (0, 1) or (0, 65535)"
        )
    return _uint8_to_rgb(pixels)


def _numbers(image: Tensor) -> np.ndarray:
    image = image.detach().cpu()
    return (image if image.dtype != torch.bfloat16 else image.float()).numpy()  # numpy has no bfloat16


def _scale_to_uint8(pixels: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Numbers of any type to uint8 of the same shape: the range's ends become 0 and 255."""
    try:
        low, high = (float(end) for end in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not -np.inf < low < high < np.inf:
        raise ImageError(f"value_range: expected two numbers, the lower one first, got {value_range!r}")
    if pixels.dtype.kind not in "biuf":
        raise ImageError(f"expected an image of whole or floating point numbers, got {pixels.dtype}")
    out = np.empty(pixels.shape, np.uint8)
    for row in range(0, len(pixels), 256):  # in strips, for memory
        strip = (pixels[row : row + 256].astype(np.float64) - low) * (255.0 / (high - low))
        if np.isnan(strip).any():
            raise ImageError("expected an image of numbers, got one with NaN in it")
        out[row : row + 256] = np.rint(np.clip(strip, 0.0, 255.0))
    return out


def stretch_to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Scale numbers of any type to uint8 of the same shape: the 0.1 percentile becomes 0, the 99.9 percentile 255.

    Channels share one scale, so colours keep their hue. Where the percentiles coincide (few bright objects on an even
    ground) the smallest and largest value take their place; a constant image becomes black. NaN becomes 0; infinities
    become 0 or 255 and do not influence the scale.
    """
    if pixels.dtype == bool:
        pixels = pixels.view(np.uint8)
    step = max(1, round((pixels.shape[0] * pixels.shape[1] / STRETCH_SAMPLE_PIXELS) ** 0.5)) if pixels.ndim > 1 else 1
    sample = _finite(pixels[::step, ::step] if step > 1 else pixels)
    low, high = np.percentile(sample, STRETCH_PERCENTILES) if sample.size else (0.0, 0.0)
    if high <= low:
        everything = _finite(pixels)
        low, high = (float(everything.min()), float(everything.max())) if everything.size else (0.0, 0.0)
    if high <= low:
        high = low + 1.0
    out = np.empty(pixels.shape, np.uint8)
    for row in range(0, len(pixels), 256):  # in strips: a float copy of 400 megapixels would take gigabytes
        strip = (pixels[row : row + 256].astype(np.float64) - low) * (255.0 / (high - low))
        out[row : row + 256] = np.rint(np.clip(np.nan_to_num(strip, nan=0.0, posinf=255.0, neginf=0.0), 0.0, 255.0))
    return out


def _finite(pixels: np.ndarray) -> np.ndarray:
    return pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels


def _read(file: BinaryIO, name: str, stored: Callable[[], np.ndarray]) -> np.ndarray:
    """Decode what `file` holds; `stored` gives all its bytes, uint8, for OpenCV."""
    start = file.read(16)
    if not start:
        raise ImageError(f"{name}: the image file is empty (0 bytes)")
    try:
        file.seek(0)
        with _unlimited_pillow():
            image = Image.open(file)
    except UnidentifiedImageError as error:
        # OpenCV knows a few forms that Pillow refuses, such as float RGB TIFF.
        pixels = _decode_with_opencv(stored)
        if pixels is None:
            raise ImageError(f"{name}: not an image in a known format (the file begins with {start!r})") from error
        return _pixels_to_rgb(pixels, name)
    except Exception as error:
        raise ImageError(f"{name}: the image file is damaged ({_reason(error)})") from error
    pixels = _decode_with_opencv(stored) if _loses_depth(image) else None
    if pixels is None:
        return _pil_to_rgb(image, name)
    if image.format != "TIFF":  # OpenCV orients TIFF by itself, and nothing else when it reads unchanged pixels
        pixels = _orient(pixels, _orientation(image))
    return _pixels_to_rgb(pixels, name)


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


def _loses_depth(image: Image.Image) -> bool:
    """Whether Pillow would keep only the high byte of 16-bit colour."""
    if image.format not in ("PNG", "TIFF") or image.mode in _DEEP_MODES:
        return False
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _decode_with_opencv(stored: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Return the stored numbers, (H, W) or RGB(A) (H, W, C), any dtype; None if OpenCV cannot read them."""
    try:
        pixels = cv2.imdecode(stored(), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is not None and pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return pixels


def _pil_to_rgb(image: Image.Image, name: str) -> np.ndarray:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name}: expected at most {MAX_PIXELS} pixels, got {image.width} x {image.height}")
    try:
        with _unlimited_pillow():
            image.load()
        # After load: Pillow turns TIFF itself while decoding and then forgets the tag.
        orientation = _orientation(image)
        if image.mode in _DEEP_MODES:
            return _orient(_uint8_to_rgb(stretch_to_uint8(np.asarray(image))), orientation)
        transparent = image.has_transparency_data
        if image.mode not in ("RGB", "RGBA") or transparent:
            image = image.convert("RGBA" if transparent else "RGB")
        return _orient(_uint8_to_rgb(np.array(image)), orientation)
    except Exception as error:
        raise ImageError(f"{name}: the image cannot be decoded ({_reason(error)})") from error


def _pixels_to_rgb(pixels: np.ndarray, name: str) -> np.ndarray:
    """Numbers of any dtype, (H, W) or RGB(A) (H, W, C) -> RGB uint8 (H, W, 3)."""
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4):
        raise ImageError(f"{name}: expected 1, 3 or 4 channels, got {pixels.shape[2]}")
    if pixels.dtype == np.uint8:
        return _uint8_to_rgb(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        opaque = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "iu" else 1.0
        alpha = np.clip(np.rint(pixels[..., 3:] * (255.0 / opaque)), 0, 255).astype(np.uint8)
        return _uint8_to_rgb(np.concatenate([stretch_to_uint8(pixels[..., :3]), alpha], axis=2))
    return _uint8_to_rgb(stretch_to_uint8(pixels))


def _uint8_to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Grey (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), uint8 -> RGB, contiguous."""
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    alpha = pixels[..., 3]
    colour = np.ascontiguousarray(pixels[..., :3])
    if alpha.min() == 255 or alpha.max() == 0:
        return colour
    for row in range(0, len(colour), 256):  # in strips, for memory
        opacity = alpha[row : row + 256, :, None].astype(np.uint16)
        strip = colour[row : row + 256]
        strip[:] = (strip * opacity + 255 * (255 - opacity) + 127) // 255
    return colour


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF data: like a viewer, show the picture as it is stored
        return 1


def _orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels upright. EXIF numbers 1-8: what row 0 and column 0 of the stored picture are in the scene."""
    if orientation in (5, 6, 7, 8):  # stored rows are columns of the scene
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
