"""Label images: for each picture one mask that holds a number for each object, 0 for the background."""

from collections.abc import Mapping
from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import ONE_CLASS, Picture, Reading, Shape, assemble
from maskrcnn.data.formats.bitmaps import read_values, rles_by_value, scattered
from maskrcnn.data.problems import Problem, found

LOOKED_FOR = "label images in masks/ or labels/ (or PedMasks/) beside images of the same names in images/ (PNGImages/)"
PICTURE_FOLDERS = ("images", "PNGImages", "image", "img", "imgs")
MASK_FOLDERS = ("masks", "labels", "PedMasks", "mask", "label")
MASK_ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label")


def is_format(path: Path) -> bool:
    """Whether `path` has such folders, with at least one picture and its mask."""
    return path.is_dir() and bool(finding.parts_with(path, _has_pairs))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Each number but 0 is an object, with holes and all parts, whatever lies between them.

    `path` may also be the folder of the masks alone, with the pictures in `images`.
    """
    parts = finding.parts_with(path, _has_pairs) or {finding.WHOLE: path}
    readings = {}
    for split, part in parts.items():
        given = finding.folder_of_split(images, part, split) or finding.subfolder(part, PICTURE_FOLDERS)
        masks = finding.subfolder(part, MASK_FOLDERS) or part
        if given is None:
            raise ValueError(f"{part}: expected a folder of images, {', '.join(PICTURE_FOLDERS)}")
        readings[split] = _read_split(given, masks)
    return assemble(readings, path, images, [ONE_CLASS])


def _has_pairs(part: Path) -> bool:
    images, masks = finding.subfolder(part, PICTURE_FOLDERS), finding.subfolder(part, MASK_FOLDERS)
    if images is None or masks is None:
        return False
    return bool(finding.by_stem(images).keys() & finding.masks_by_stem(masks, MASK_ENDINGS).keys())


def _read_split(images: Path, masks: Path) -> Reading:
    pictures, candidates = finding.by_stem(images), finding.masks_by_stem(masks, MASK_ENDINGS)
    sizes, problems = finding.sizes_of(path for stem, path in pictures.items() if stem in candidates)
    reading = Reading([], problems)
    for stem, path in pictures.items():
        belonging = candidates.get(stem, [])
        if len(belonging) > 1:
            names = ", ".join(mask.name for mask in belonging)
            problems.append(found("ambiguous-mask", f"expected one mask, found {names}", path))
        elif belonging and path in sizes:
            picture = _read_picture(path, sizes[path], belonging[0], problems)
            reading.pictures.extend([picture] if picture else [])
    used = {mask for stem in pictures for mask in candidates.get(stem, [])}
    problems += _left_over(pictures, candidates, used, images)
    return reading


def _read_picture(path: Path, size: tuple[int, int], mask: Path, problems: list[Problem]) -> Picture | None:
    try:
        values = read_values(mask)
        rles = rles_by_value(values)
    except ValueError as error:
        problems.append(found("unreadable-mask", str(error).removeprefix(f"{mask}: "), mask))
        return None
    wrong = finding.size_problem(path, size, (values.shape[0], values.shape[1]), f"its mask {mask.name}")
    if wrong:
        problems.append(wrong)
        return None
    shapes = [Shape(ONE_CLASS, rle, mask, f"value {value}") for value, rle in rles.items()]
    for value, num_parts in zip(rles, scattered(list(rles.values())), strict=True):
        if num_parts:
            problems.append(
                found("scattered-object", f"{num_parts} parts far from one another", mask, f"value {value}")
            )
    return Picture(path, size, shapes)


def _left_over(
    pictures: Mapping[str, Path], candidates: Mapping[str, list[Path]], used: set[Path], images: Path
) -> list[Problem]:
    problems = []
    without = [path.name for stem, path in pictures.items() if stem not in candidates]
    if without:
        problems.append(found("unannotated-images", f"{finding.count_and_names(without)} without mask", images))
    for mask in sorted({mask for masks in candidates.values() for mask in masks} - used):
        problems.append(found("missing-image", f"there is no image for this mask in {images}", mask))
    return problems
