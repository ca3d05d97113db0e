"""Pascal VOC: masks in SegmentationObject and SegmentationClass, boxes in Annotations, the list in ImageSets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.label_image import painted
from maskrcnn.report.export.picture import FoundPicture
from maskrcnn.untrusted.names import printable

KEEPS = {"class", "holes", "parts"}
VOID = 255
"""No object and no class may have it: in VOC it is what is not annotated."""


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture; the pictures belong into JPEGImages/, under the names of their masks."""
    if len(folder.class_names) >= VOID:
        raise ValueError(f"voc: expected up to {VOID - 1} classes, got {len(folder.class_names)}")
    place_of = {name: label + 1 for label, name in enumerate(folder.class_names)}
    names: list[str] = []

    def add(picture: FoundPicture) -> None:
        numbers, num_hidden = painted(picture)
        numbers[numbers >= VOID] += 1  # so that none is VOID
        places = np.array([0, *(place_of[found.class_name] for found in picture.objects)], np.uint8)
        before = np.where(numbers > VOID, numbers - 1, numbers)
        for kind, values in (("Object", numbers), ("Class", places[before])):
            with folder.file(f"Segmentation{kind}/{picture.stem}.png") as path:
                _image(values).save(path, "PNG")
        with folder.text(f"Annotations/{picture.stem}.xml") as file:
            file.write(_boxes(picture))
        names.append(picture.stem)
        folder.lost["pixels that another, surer object has too"] += num_hidden
        folder.lost["scores"] += sum(found.score is not None for found in picture.objects)

    yield add
    with folder.text("ImageSets/Segmentation/default.txt") as file:
        file.writelines(f"{name}\n" for name in names)
    with folder.text("class_names.txt") as file:
        file.writelines(f"{printable(name)}\n" for name in ("background", *folder.class_names))


def _image(values: np.ndarray) -> Image.Image:
    """A palette picture up to 255; above, VOC's colours, of which 24 bits can be told apart."""
    if values.max(initial=0) <= VOID:
        image = Image.fromarray(values.astype(np.uint8)).convert("P")
        image.putpalette(colors(np.arange(256)).ravel().tolist())
        return image
    return Image.fromarray(colors(values))


def colors(places: np.ndarray) -> np.ndarray:
    """VOC's colour of each place, uint8 (..., 3): bits 0, 3, 6, ... of a place are its red, from the highest down."""
    rgb = np.zeros((*places.shape, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            rgb[..., channel] |= (((places >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return rgb


def _boxes(picture: FoundPicture) -> str:
    height, width = picture.size
    path = PurePosixPath(picture.file_name)
    objects = []
    for found in picture.objects:
        x0, y0, x1, y1 = found.box
        # VOC counts pixels from 1, both corners included.
        box = {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1}
        corners = "".join(f"<{name}>{round(max(1, value))}</{name}>" for name, value in box.items())
        objects.append(
            f"<object><name>{escape(printable(found.class_name))}</name><difficult>0</difficult>"
            f"<bndbox>{corners}</bndbox></object>\n"
        )
    return (
        f"<annotation>\n<folder>{escape(printable(str(path.parent)))}</folder>\n"
        f"<filename>{escape(printable(path.name))}</filename>\n"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n<segmented>1</segmented>\n"
        f"{''.join(objects)}</annotation>\n"
    )
