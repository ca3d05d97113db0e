"""Class images: for each picture one whose pixels say the class, by number or by colour; a list beside them names it.

CamVid in the layouts that are in use is such a set, and what `infer` of a semantic network leaves nearly one.
"""

from dataclasses import dataclass
from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.class_assembling import Pairs, assemble_classes
from maskrcnn.data.formats.class_list import read_class_list
from maskrcnn.data.problems import Problem, found

PICTURE_FOLDERS = ("images", "JPEGImages", "PNGImages", "image", "img", "imgs")
MASK_FOLDERS = ("labels", "masks", "label", "mask", "annotations", "segmentation")
SIBLINGS = ("annot", "_labels", "_masks")
"""What the folder of class images is called after that of the pictures: train and trainannot, train_labels."""
MASK_ENDINGS = ("_L", "_semantic", "_labels", "_label", "_masks", "_mask")
LISTS = ("classes.txt", "classes.csv", "class_dict.csv", "label_colors.txt", "class_names.txt", "labelmap.txt")
"""Names of the list of classes, which lies in the folder of the data set or in that of its split."""
LOOKED_FOR = (
    "class images in labels/ or masks/ beside images of the same names in images/, with a list of the classes, "
    f"{LISTS[0]} (names, NUMBER NAME or R G B NAME)"
)


@dataclass(frozen=True)
class _Part:
    images: Path
    masks: Path


def is_format(path: Path) -> bool:
    """Whether `path` has such folders with at least one pair of files, and a list of classes."""
    return path.is_dir() and class_file(path) is not None and bool(_parts(path))


def class_file(path: Path) -> Path | None:
    """The list of classes of a data set: in its folder, in the one above of a split's, or in that of a split."""
    is_split = path.name.lower() in finding.SPLIT_NAMES
    folders = [path, *([path.absolute().parent] if is_split else []), *finding.split_folders(path).values()]
    return next((folder / name for folder in folders for name in LISTS if (folder / name).is_file()), None)


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Every class of the list is stuff, in its order; see `read_class_list`.

    Raises:
        ValueError: a list that cannot be read, or no picture that can be used.
    """
    file = class_file(path)
    assert file is not None
    classes, splits = read_class_list(file), {}
    for split, part in _parts(path).items():
        splits[split] = _pairs(finding.folder_of_split(images, part.images, split) or part.images, part.masks)
    return assemble_classes(splits, classes, path, images)


def _parts(path: Path) -> dict[str, _Part]:
    whole = _part(path)
    if whole is not None:
        return {finding.WHOLE: whole}
    parts = {split: _part(folder) for split, folder in finding.split_folders(path).items() if folder != path}
    return {split: part for split, part in parts.items() if part is not None}


def _part(folder: Path) -> _Part | None:
    images, masks = finding.subfolder(folder, PICTURE_FOLDERS), finding.subfolder(folder, MASK_FOLDERS)
    if images is None and masks is None:
        masks = finding.subfolder(folder.absolute().parent, [f"{folder.name}{ending}" for ending in SIBLINGS])
        images = folder
    if (
        images is None
        or masks is None
        or not finding.by_stem(images).keys() & finding.masks_by_stem(masks, MASK_ENDINGS).keys()
    ):
        return None
    return _Part(images, masks)


def _pairs(images: Path, masks: Path) -> Pairs:
    pictures, candidates = finding.by_stem(images), finding.masks_by_stem(masks, MASK_ENDINGS)
    problems: list[Problem] = []
    files = []
    for stem, picture in pictures.items():
        belonging = candidates.get(stem, [])
        if len(belonging) > 1:
            names = ", ".join(mask.name for mask in belonging)
            problems.append(found("ambiguous-mask", f"expected one class image, found {names}", picture))
        elif belonging:
            files.append((picture, belonging[0]))
    without = [picture.name for stem, picture in pictures.items() if stem not in candidates]
    if without:
        reason = f"{finding.count_and_names(without)} without class image"
        problems.append(found("unannotated-images", reason, images))
    used = {mask for stem in pictures for mask in candidates.get(stem, [])}
    for mask in sorted({mask for some in candidates.values() for mask in some} - used):
        problems.append(found("missing-image", f"there is no image for this class image in {images}", mask))
    return Pairs(files, problems)
