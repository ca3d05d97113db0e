"""Every format by name, and all that are asked for written in one go."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask

from maskrcnn.report.export import (
    coco_polygons,
    csv_table,
    cutouts,
    cvat,
    geojson,
    imagej,
    label_image,
    label_studio,
    labelme,
    masks,
    mot,
    via,
    voc,
    yolo,
)
from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.picture import FoundPicture
from maskrcnn.structures.polygons import Polygon, one_ring
from maskrcnn.structures.rle import Rle


@dataclass(frozen=True)
class Format:
    """How one is written, and what it can hold."""

    opened: Callable[[ExportFolder], AbstractContextManager[Callable[[FoundPicture], None]]]
    keeps: frozenset[str]
    """Of `FACTS`."""
    files: str
    """What is written."""


FACTS = ("class", "score", "holes", "parts", "overlaps")
"""What a format may hold besides the pixels of an object."""
FORMATS = {
    "coco": Format(coco_polygons.opened, frozenset(coco_polygons.KEEPS), "annotations.json"),
    "yolo": Format(yolo.opened, frozenset(yolo.KEEPS), "labels/<stem>.txt, data.yaml"),
    "voc": Format(voc.opened, frozenset(voc.KEEPS), "SegmentationObject/<stem>.png and the like"),
    "labelme": Format(labelme.opened, frozenset(labelme.KEEPS), "<stem>.json"),
    "cvat": Format(cvat.opened, frozenset(cvat.KEEPS), "annotations.xml"),
    "label-studio": Format(label_studio.opened, frozenset(label_studio.KEEPS), "tasks.json, label_config.xml"),
    "via": Format(via.opened, frozenset(via.KEEPS), "via.json (version 2)"),
    "via3": Format(via.opened_3, frozenset(via.KEEPS), "via3.json (version 3)"),
    "geojson": Format(geojson.opened, frozenset(geojson.KEEPS), "<stem>.geojson, of a GeoTIFF also map/<stem>.geojson"),
    "imagej": Format(imagej.opened, frozenset(imagej.KEEPS), "<stem>_RoiSet.zip"),
    "label-image": Format(label_image.opened, frozenset(label_image.KEEPS), "<stem>_labels.tif and .csv"),
    "masks": Format(masks.opened, frozenset(masks.KEEPS), "<stem>/masks/0001_<class>.png"),
    "cutouts": Format(cutouts.opened, frozenset(cutouts.KEEPS), "<stem>/0001_<class>_x<left>_y<top>.png"),
    "mot": Format(mot.opened, frozenset(mot.KEEPS), "<sequence>/gt/gt.txt, labels.txt, seqinfo.ini"),
    "csv": Format(csv_table.opened, frozenset(csv_table.KEEPS), "objects.csv, outlines as WKT"),
}


@dataclass(frozen=True)
class Exported:
    """What came of one format."""

    name: str
    folder: Path
    num_pictures: int
    num_objects: int
    lost: dict[str, int]
    """What the format cannot hold, in words, and how often."""

    def __str__(self) -> str:
        lost = "; ".join(f"{number} {what}" for what, number in self.lost.items())
        pictures = f"{self.num_pictures} image{'s' * (self.num_pictures != 1)}"
        objects = f"{self.num_objects} object{'s' * (self.num_objects != 1)}"
        return f"{self.folder}: {objects} of {pictures}; {f'lost: {lost}' if lost else 'nothing lost'}"


def write_formats(
    out: Path,
    names: Sequence[str],
    pictures: Iterable[FoundPicture],
    class_names: Sequence[str],
    *,
    overwrite: bool = False,
    outlines_said: Callable[[str], None] | None = None,
) -> list[Exported]:
    """Write `pictures`, gone through once, in each of the formats `names` into `out`/<name>.

    A file is whole or not there; files of an earlier export that this one does not write are removed at the end.
    `outlines_said` takes a sentence about smooth outlines, if there are any.

    Raises:
        ValueError: an unknown format, or what a format cannot be written without.
        FileExistsError: a file that no export wrote would be replaced; not with `overwrite`.
        MissingPackageError: a format needs a package that is not installed.
    """
    for name in names:
        if name not in FORMATS:
            raise ValueError(f"expected a format, one of {', '.join(FORMATS)}, got {name!r}")
    folders = {name: ExportFolder(out / name, tuple(class_names), overwrite) for name in dict.fromkeys(names)}
    num_pictures = num_objects = 0
    ious: list[float] = []
    with ExitStack() as stack:
        writers = [stack.enter_context(FORMATS[name].opened(folder)) for name, folder in folders.items()]
        for picture in pictures:
            for add in writers:
                add(picture)
            for folder in folders.values():
                folder.lost["objects without a pixel"] += picture.num_empty
            num_pictures += 1
            num_objects += len(picture.objects)
            ious += _ious(picture)
    for folder in folders.values():
        folder.finish()
    rest = num_objects - len(ious)
    if outlines_said is not None and ious:
        outlines_said(
            f"smooth outlines of {len(ious)} objects: IoU with their pixels {np.mean(ious):.3f} on average, "
            f"{min(ious):.3f} at least" + (f"; {rest} put together from tiles have exact ones" if rest else "")
        )
    return [
        Exported(name, folder.root, num_pictures, num_objects, {k: n for k, n in folder.lost.items() if n})
        for name, folder in folders.items()
    ]


def _ious(picture: FoundPicture) -> list[float]:
    """Of the smooth outlines, filled as pycocotools does, with the pixels of their objects."""
    found = [one for one in picture.objects if one.smooth is not None]
    return [outline_iou(one.outline, one.rle) for one in found]


def outline_iou(outline: list[Polygon], rle: Rle) -> float:
    """IoU of an outline, filled as pycocotools does, with a mask."""
    ring = one_ring(outline)
    if not len(ring):  # nothing above 0.5 between the pixels of a mask that has one
        return 0.0
    filled = pycocotools.mask.frPyObjects([ring.ravel().tolist()], *rle["size"])
    ious: Any = pycocotools.mask.iou(filled, [rle], [0])  # pyright: ignore[reportArgumentType]
    return float(ious[0, 0])
