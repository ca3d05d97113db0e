"""The image reader: small files of every kind that it reads, with other bytes in them."""

import hashlib
import io
import random
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from fuzzing.children import Target
from fuzzing.mutations import damaged_bytes
from maskrcnn.data.images import read_image

HEIGHT, WIDTH = 24, 32


@cache
def image_files() -> dict[str, bytes]:
    """Name with ending, and content."""
    values = np.random.RandomState(0).randint(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    files = {}
    for name, mode in (("a.png", "RGB"), ("g.png", "L"), ("p.png", "P"), ("r.png", "RGBA"), ("o.png", "1")):
        files[name] = _saved(Image.fromarray(values).convert(mode), "PNG")
    for name, kind in (("a.jpg", "JPEG"), ("a.bmp", "BMP"), ("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.ppm", "PPM")):
        files[name] = _saved(Image.fromarray(values), kind)
    files["d.png"] = _saved(Image.fromarray(values[..., 0].astype(np.uint16) * 200), "PNG")
    tiffs: tuple[tuple[str, np.ndarray, dict[str, Any]], ...] = (
        ("a.tif", values, {"photometric": "rgb"}),
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
        told = f"{ours.shape} {hashlib.md5(ours.tobytes()).hexdigest()}"
        if path.suffix == ".png":
            with Image.open(path) as image:
                if image.mode == "RGB" and not image.info.keys() & {"transparency", "exif"} and not image.getexif():
                    same = np.array_equal(np.asarray(image), ours)
                    return (
                        told if same else f"{told}, and Pillow reads other pixels: {id(image)}"
                    )  # two readings differ
    return told


IMAGE_TARGETS = (Target("image", _make, _read),)
