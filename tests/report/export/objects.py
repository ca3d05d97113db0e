"""Objects of every shape that a format may have trouble with, and pictures of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.structures.rle import encode

HEIGHT, WIDTH = 60, 80
NAMES = ("cat", "d<o>g & co")

Box = tuple[int, int, int, int]


def mask(*boxes: Box, holes: tuple[Box, ...] = ()) -> np.ndarray:
    """Bool (HEIGHT, WIDTH): boxes x0 y0 x1 y1 set, then holes."""
    bitmap = np.zeros((HEIGHT, WIDTH), bool)
    for value, some in ((True, boxes), (False, holes)):
        for x0, y0, x1, y1 in some:
            bitmap[y0:y1, x0:x1] = value
    return bitmap


def found(bitmap: np.ndarray, class_name: str = "cat", score: float | None = 0.5) -> FoundObject:
    """An object with these pixels and their box."""
    y, x = np.nonzero(bitmap)
    box = (float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1)) if len(x) else (1.0, 1.0, 2.0, 2.0)
    return FoundObject(class_name, encode(bitmap), box, score)


def disc(cx: float, cy: float, radius: float) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (x - cx) ** 2 + (y - cy) ** 2 <= radius**2


SHAPES = {
    "square": mask((5, 5, 20, 20)),
    "disc": disc(60.2, 12.7, 9.3),
    "two holes": mask((26, 5, 46, 25), holes=((30, 10, 35, 15), (38, 12, 42, 20))),
    "two parts": mask((5, 30, 15, 40), (20, 33, 28, 50)),
    "parts at a corner": mask((34, 30, 40, 36), (40, 36, 46, 42)),
    "part with hole, and another": mask((60, 30, 80, 60), (50, 50, 55, 55), holes=((65, 35, 70, 40),)),
    "one pixel": mask((2, 57, 3, 58)),
}


def picture(file_name: str, stem: str, *, overlapping: bool = False, folder: Path | None = None) -> FoundPicture:
    """All shapes as objects of both classes; `overlapping`: and one over another. In `folder` there is its file."""
    bitmaps = [*SHAPES.values(), *([mask((10, 10, 25, 25))] if overlapping else [])]
    objects = [found(bitmap, NAMES[i % 2], 0.9 - 0.05 * i) for i, bitmap in enumerate(bitmaps)]
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    if folder is not None:
        (folder / file_name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / file_name)
    return FoundPicture(file_name, stem, (HEIGHT, WIDTH), objects, pixels=lambda: image)
