"""Pascal VOC's SegmentationClass: a class for every pixel, the background among them, void borders left open."""

import os
from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding, voc
from maskrcnn.data.formats.class_assembling import Pairs, assemble_classes
from maskrcnn.data.formats.class_list import ClassList, by_color, by_number
from maskrcnn.data.problems import found

LOOKED_FOR = "SegmentationClass/*.png of Pascal VOC, with JPEGImages/"
FOLDER = "SegmentationClass"


def is_format(path: Path) -> bool:
    """Whether `path` has a folder SegmentationClass."""
    return (path / FOLDER).is_dir()


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Splits are the lists in ImageSets/Segmentation; names and colours those of labelmap.txt, or else VOC's own."""
    classes, problems = voc.read_classes(path)
    folder = images or (path / "JPEGImages" if (path / "JPEGImages").is_dir() else path)
    pictures, splits = finding.by_stem(folder), {}
    for split, stems in voc.lists_of_splits(path, FOLDER).items():
        pairs = Pairs([], problems if not splits else [])
        files = []
        for stem in stems:
            picture = pictures.get(stem) or pictures.get(Path(stem).name) or folder / f"{stem}.jpg"
            mask = path / FOLDER / f"{stem}.png"
            if os.path.isfile(mask):
                files.append((picture, mask))
            else:
                pairs.problems.append(found("missing-mask", f"there is no {FOLDER}/{mask.name}", picture))
        splits[split] = Pairs(files, pairs.problems)
    return assemble_classes(splits, _class_list(classes, str(path)), path, images)


def _class_list(classes: voc.Classes, source: str) -> ClassList:
    if classes.colors is None:
        return by_number(dict(enumerate(classes.names)), source)
    return by_color({voc.BORDER_COLOR: "void"} | dict(zip(classes.colors, classes.names, strict=True)), source)
