"""A black and white PNG for each object, in a folder for each picture."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.picture import FoundPicture, safe_name

KEEPS = {"holes", "parts", "overlaps"}


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes <stem>/masks/0001_<class>.png, ...; the picture belongs into <stem>/images/."""

    def add(picture: FoundPicture) -> None:
        for number, found in picture.numbered:
            x0, y0, bitmap = found.crop
            whole = np.zeros(picture.size, np.uint8)
            whole[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]] = bitmap * np.uint8(255)
            name = f"{picture.stem}/masks/{number:04}_{safe_name(found.class_name)}.png"
            with folder.file(name) as path:
                Image.fromarray(whole).convert("1").save(path, "PNG")
        folder.lost["scores"] += sum(found.score is not None for found in picture.objects)
        folder.lost["classes (they are in the names of the files)"] += len(picture.objects)

    yield add
