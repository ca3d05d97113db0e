"""Each object alone: its pixels, and transparency around them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.picture import FoundPicture, safe_name

KEEPS = {"holes", "parts", "overlaps"}


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes <stem>/0001_<class>_x<left>_y<top>.png, ..., RGBA and no larger than the object.

    Raises:
        ValueError: a picture whose file is not at hand.
    """

    def add(picture: FoundPicture) -> None:
        if not picture.objects:
            return
        if picture.pixels is None:
            raise ValueError(f"cutouts: the image {picture.file_name} is needed, and its file is not known")
        image = picture.pixels()
        if image.shape[:2] != picture.size:
            expected, got = (f"{size[0]} x {size[1]}" for size in (picture.size, image.shape))
            raise ValueError(f"cutouts: {picture.file_name} is {got} (height x width), its objects are of {expected}")
        for number, found in picture.numbered:
            x0, y0, bitmap = found.crop
            window = image[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]]
            rgba = np.dstack([window * bitmap[..., None], bitmap * np.uint8(255)])
            name = f"{picture.stem}/{number:04}_{safe_name(found.class_name)}_x{x0}_y{y0}.png"
            with folder.file(name) as path:
                Image.fromarray(rgba).save(path, "PNG")
        folder.lost["scores"] += sum(found.score is not None for found in picture.objects)
        folder.lost["classes (they are in the names of the files)"] += len(picture.objects)

    yield add
