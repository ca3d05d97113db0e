"""What image files are: whether they are there and can be read, their size, their orientation, their pixels."""

import hashlib
import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from maskrcnn.data.images import read_by
from maskrcnn.data.pages import Reading
from maskrcnn.data.pictures.kinds import READ
from maskrcnn.data.pictures.limits import BYTES_PER_PIXEL, allowed_pixels

DEFAULT = Reading()
MAX_THREADS = 8  # decoding releases Python's lock, and each thread holds one decoded picture
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageFacts:
    """What one file is."""

    size: tuple[int, int] | None = None
    """(height, width) as we read it, upright; None if it cannot be read."""
    orientation: int = 1
    """EXIF orientation, 1 to 8; 1 is upright."""
    digest: bytes = b""
    """Equal for equal pixels; empty where they were not read, or are all of one colour and so tell nothing."""
    error: str = ""
    is_missing: bool = False


def look_at_images(
    paths: Iterable[Path], *, pixels: bool = True, progress: bool = False, reading: Reading = DEFAULT
) -> dict[Path, ImageFacts]:
    """The facts of each file, once, however often it is named. Without `pixels` only headers are read."""
    unique = list(dict.fromkeys(paths))
    # The threads of the pool have no block around them.
    reading = replace(reading, max_pixels=allowed_pixels(reading.max_pixels))
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        facts = pool.map(lambda path: look_at_image(path, pixels=pixels, reading=reading), unique)
        facts = tqdm(facts, total=len(unique), desc="images", disable=None if progress else True, leave=False)
        return dict(zip(unique, facts, strict=True))


def look_at_image(path: Path, *, pixels: bool, reading: Reading = DEFAULT) -> ImageFacts:
    """The facts of one file as it is read; of more pixels than `reading` allows it cannot be."""
    if not os.path.isfile(path):
        return ImageFacts(is_missing=True)
    header = _read_header(path, allowed_pixels(reading.max_pixels))
    if header is not None and not pixels:
        return header
    try:
        image = read_by(path, reading)
    except (OSError, ValueError) as error:
        return ImageFacts(error=str(error).removeprefix(f"{path}: "))
    height, width = image.shape[:2]
    is_blank = bool((image == image[0, 0]).all())
    digest = b"" if is_blank else hashlib.blake2b(image.data, digest_size=16, salt=f"{height}".encode()).digest()
    return ImageFacts((height, width), header.orientation if header else 1, digest)


def _read_header(path: Path, max_pixels: int) -> ImageFacts | None:
    """Size and orientation, or None where Pillow cannot tell; `read_image` knows more formats, and says why not."""
    try:
        if os.path.getsize(path) > BYTES_PER_PIXEL * max_pixels:  # Pillow reads some formats as a whole
            return None
        with warnings.catch_warnings(), Image.open(path, formats=READ) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            if image.width * image.height > max_pixels:
                return None
            # For EXIF that may follow the pixels Pillow would decode the whole PNG.
            is_told = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if is_told else 1
            if image.format == "TIFF" and orientation != 1:  # which Pillow turns itself while decoding
                return None
            width, height = image.size
    except Exception:
        return None
    return ImageFacts((width, height) if orientation in (5, 6, 7, 8) else (height, width), orientation)
