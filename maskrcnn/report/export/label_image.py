"""Label images: an OME-TIFF for each picture with the number of each object, as napari and CellProfiler have them."""

import csv
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.picture import FoundPicture
from maskrcnn.untrusted.names import table_cell, utf8

KEEPS = {"holes", "parts"}
_MOST_16_BITS = (1 << 16) - 1


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes <stem>_labels.tif, uint16, or uint32 for more than 65,535 objects; and a table of them."""
    import tifffile  # slow to import

    def add(picture: FoundPicture) -> None:
        places, num_hidden = painted(picture)
        numbers = np.array([0, *(number for number, _ in picture.numbered)])[places]
        dtype = np.uint16 if numbers.max(initial=0) <= _MOST_16_BITS else np.uint32
        with folder.file(f"{picture.stem}_labels.tif") as path:
            # By default each file gets a random UUID; the same objects shall make the same file.
            about = {"axes": "YX", "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, utf8(picture.file_name)))}
            tifffile.imwrite(path, numbers.astype(dtype), ome=True, metadata=about, compression="zlib")
        with folder.text(f"{picture.stem}_labels.csv") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("label", "class", "score"))
            for number, found in picture.numbered:
                score = "" if found.score is None else f"{found.score:.9g}"
                table.writerow((number, table_cell(found.class_name), score))
        folder.lost["pixels that another, surer object has too"] += num_hidden
        folder.lost["classes and scores (they are in the CSV beside)"] += len(picture.objects)

    yield add


def painted(picture: FoundPicture) -> tuple[np.ndarray, int]:
    """Places 1..N of the objects, int32 (H, W), 0 between them; and how many pixels have more than one.

    Such a pixel goes to the surest, of equals to the first.
    """
    numbers = np.zeros(picture.size, np.int32)
    order = sorted(range(len(picture.objects)), key=lambda i: (picture.objects[i].score or 0.0, -i))
    total = 0
    for i in order:
        x0, y0, bitmap = picture.objects[i].crop
        window = numbers[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]]
        window[bitmap] = i + 1
        total += int(bitmap.sum())
    return numbers, total - int((numbers > 0).sum())
