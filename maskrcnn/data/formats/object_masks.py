"""A folder for each picture, with one mask file for each object: ID/images/ID.png and ID/masks/*.png."""

from pathlib import Path

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import ONE_CLASS, Picture, Reading, Shape, assemble
from maskrcnn.data.formats.bitmaps import expect_few_runs, open_mask, scattered
from maskrcnn.data.problems import Problem, found
from maskrcnn.structures.rle import encode

LOOKED_FOR = "folders ID/images/ID.png with ID/masks/*.png, a mask for each object"


def is_format(path: Path) -> bool:
    """Whether `path` holds a folder with one picture in images/ and a folder masks/."""
    return path.is_dir() and bool(finding.parts_with(path, _has_pictures))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Each mask file is an object. `images` may only be a folder above the pictures."""
    parts = finding.parts_with(path, _has_pictures)
    return assemble({split: _read_split(part) for split, part in parts.items()}, path, images, [ONE_CLASS])


def _has_pictures(part: Path) -> bool:
    return any(len(_files(folder / "images")) == 1 and (folder / "masks").is_dir() for folder in finding.entries(part))


def _files(folder: Path) -> list[Path]:
    return [file for file in finding.entries(folder) if finding.is_image(file)]


def _read_split(part: Path) -> Reading:
    folders = {}
    problems: list[Problem] = []
    for folder in finding.entries(part):
        if not (folder / "images").is_dir():
            continue
        pictures = _files(folder / "images")
        if len(pictures) != 1:
            reason = f"expected one image in images, found {len(pictures)}"
            problems.append(found("missing-image", reason, folder))
        elif not (folder / "masks").is_dir():
            problems.append(found("missing-mask", "there is no folder masks", folder))
        else:
            folders[folder] = pictures[0]
    sizes, size_problems = finding.sizes_of(folders.values())
    problems += size_problems
    pictures = [
        Picture(path, sizes[path], _read_shapes(_files(folder / "masks"), sizes[path], problems))
        for folder, path in folders.items()
        if path in sizes
    ]
    return Reading(pictures, problems)


def _read_shapes(files: list[Path], size: tuple[int, int], problems: list[Problem]) -> list[Shape]:
    shapes = []
    for file in files:
        try:
            bitmap, is_grey = _read_bitmap(file, size)
            expect_few_runs(bitmap)
        except ValueError as error:
            problems.append(found("unreadable-mask", str(error).removeprefix(f"{file}: "), file))
            continue
        rle = encode(bitmap)
        shapes.append(Shape(ONE_CLASS, rle, file))
        if is_grey:
            problems.append(found("grey-mask", "the mask has more than two values", file))
        (num_parts,) = scattered([rle])
        if num_parts:
            problems.append(found("scattered-object", f"{num_parts} parts far from one another", file))
    return shapes


def _read_bitmap(file: Path, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """bool (H, W), and whether a threshold was needed. Raises ValueError for another size than the picture's."""
    image = open_mask(file, is_exact=False)
    pixels = np.asarray(image.convert("L") if image.mode in ("P", "PA", "LA", "RGB", "RGBA") else image)
    if pixels.shape != size:
        raise ValueError(
            f"{file}: the mask is {pixels.shape[0]} x {pixels.shape[1]} (height x width), "
            f"the image {size[0]} x {size[1]}"
        )
    brightest = pixels.max()
    is_grey = bool(((pixels > 0) & (pixels < brightest)).any())
    return (pixels >= brightest / 2 if is_grey else pixels > 0), is_grey
