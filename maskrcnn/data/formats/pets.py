"""The Oxford-IIIT Pets as they unpack: images/*.jpg and annotations/trimaps/*.png (Parkhi et al., CVPR 2012).

A trimap is 1 on the pet, 2 on the background, 3 on its border, which is not classified.
"""

from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.class_assembling import Pairs, assemble_classes
from maskrcnn.data.formats.class_list import ClassList
from maskrcnn.data.problems import found
from maskrcnn.untrusted.plain_text import read_lines

LOOKED_FOR = "images/*.jpg and annotations/trimaps/*.png of the Oxford-IIIT Pets"
NAMES = ("background", "pet", "border")
INDEX_OF = {2: 0, 1: 1, 3: 2}
LISTS = {"train": "trainval.txt", "test": "test.txt"}


def is_format(path: Path) -> bool:
    """Whether `path` has the folder of the trimaps."""
    return (path / "annotations" / "trimaps").is_dir()


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Three classes: background, pet, border; the splits are those of trainval.txt and test.txt, where they are."""
    return read_trimaps(path, images, ClassList("a trimap", NAMES, INDEX_OF))


def read_trimaps(path: Path, images: Path | None, classes: ClassList) -> dict[str, Annotations]:
    """The pictures whose trimap has the numbers of `classes`."""
    folder, trimaps = images or path / "images", path / "annotations" / "trimaps"
    pictures, masks = finding.by_stem(folder), finding.by_stem(trimaps)
    lists = {split: path / "annotations" / name for split, name in LISTS.items()}
    stems = {split: _stems(file) for split, file in lists.items() if file.is_file()} or {finding.WHOLE: [*masks]}
    splits = {}
    for split, names in stems.items():
        without = [
            found("missing-mask", f"there is no {trimaps / name}.png", name) for name in names if name not in masks
        ]
        files = [(pictures.get(name, folder / f"{name}.jpg"), masks[name]) for name in names if name in masks]
        splits[split] = Pairs(files, without)
    return assemble_classes(splits, classes, path, images)


def _stems(file: Path) -> list[str]:
    """The first word of each line: the others are the breed and the species."""
    return [line.split()[0] for line in read_lines(file) if line.strip() and not line.startswith("#")]
