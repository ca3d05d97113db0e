"""The image reader: small files of every kind that it reads, with other bytes in them."""

import hashlib
import io
import random
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from fuzzing.children import SilentDifferenceError, Target
from fuzzing.mutations import damaged_bytes
from maskrcnn.data.images import read_image
from maskrcnn.data.pictures.pixels import numbers_to_rgb

HEIGHT, WIDTH = 24, 32
COMPARED = (".png", ".bmp", ".tif")
"""Without loss, so that all decoders give the same numbers."""


@cache
def image_files() -> dict[str, bytes]:
    """Name with ending, and content."""
    values = np.random.RandomState(0).randint(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    deep = values.astype(np.uint16) * 200 + 3
    files = {}
    for name, mode in (("a.png", "RGB"), ("g.png", "L"), ("p.png", "P"), ("r.png", "RGBA"), ("o.png", "1")):
        files[name] = _saved(Image.fromarray(values).convert(mode), "PNG")
    for name, kind in (("a.jpg", "JPEG"), ("a.bmp", "BMP"), ("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.ppm", "PPM")):
        files[name] = _saved(Image.fromarray(values), kind)
    files["g.bmp"] = _saved(Image.fromarray(values[..., 0]), "BMP")
    files["d.png"] = _saved(Image.fromarray(deep[..., 0]), "PNG")
    files["c.png"] = cv2.imencode(".png", deep)[1].tobytes()
    tiffs: tuple[tuple[str, np.ndarray, dict[str, Any]], ...] = (
        ("a.tif", values, {"photometric": "rgb"}),
        ("d.tif", deep[..., 0], {}),
        ("c.tif", deep, {"photometric": "rgb"}),
        ("s.tif", values.transpose(2, 0, 1).astype(np.uint16), {"photometric": "rgb", "planarconfig": "separate"}),
        ("f.tif", values[..., 0].astype(np.float32), {}),
        ("z.tif", values, {"photometric": "rgb", "compression": "zlib"}),
        ("t.tif", values[..., 0], {"tile": (16, 16)}),
        ("n.tif", values[..., 0].astype(np.int16), {"rowsperstrip": 5}),
    )
    for name, array, options in tiffs:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **options)
        files[name] = buffer.getvalue()
    return files


def _saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _make(folder: Path, rng: random.Random) -> None:
    name, data = rng.choice(sorted(image_files().items()))
    if rng.random() < 0.05:
        name = f"a{rng.choice(sorted({Path(other).suffix for other in image_files()}))}"  # content under another ending
    (folder / name).write_bytes(damaged_bytes(data, rng))


def _read(folder: Path) -> str:
    (path,) = folder.iterdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = read_image(path)
        if path.suffix in COMPARED:
            _compare(path, ours)
    return f"{ours.shape} {hashlib.md5(ours.tobytes()).hexdigest()}"


def _compare(path: Path, ours: np.ndarray) -> None:
    """Where two other decoders see the same numbers, ours are those."""
    seen = [numbers for numbers in (_by_pillow(path), _by_tifffile(path), _by_opencv(path)) if numbers is not None]
    for i, numbers in enumerate(seen):
        if any(np.array_equal(numbers, other) for other in seen[:i]):
            if not np.array_equal(numbers_to_rgb(numbers), ours):
                raise SilentDifferenceError(
                    f"other decoders agree on {numbers.shape} {numbers.dtype}, not on {ours.shape}"
                )
            return


def _by_pillow(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            is_plain = image.mode in ("L", "RGB", "I;16") and "transparency" not in image.info and not image.getexif()
            is_upright = path.suffix == ".tif" or is_plain  # a TIFF's tags are Pillow's EXIF data
            return np.asarray(image) if is_upright and image.mode in ("L", "RGB", "I;16") else None
    except Exception:  # it has its own opinion of damage
        return None


def _by_tifffile(path: Path) -> np.ndarray | None:
    if path.suffix != ".tif":
        return None
    try:
        return tifffile.imread(path)
    except Exception:
        return None


def _by_opencv(path: Path) -> np.ndarray | None:
    try:
        numbers = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if numbers is None or (numbers.ndim == 3 and numbers.shape[2] != 3):
        return None
    return numbers[..., ::-1] if numbers.ndim == 3 else numbers


IMAGE_TARGETS = (Target("image", _make, _read, share=2.0),)
