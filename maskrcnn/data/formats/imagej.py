"""ROIs of ImageJ and Fiji: for each picture a zip of the ROI manager, or one .roi (needs the extra imagej)."""

import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import ONE_CLASS, Picture, Reading, Shape, assemble
from maskrcnn.data.formats.outlines import ellipse, filled, numbers, rectangle
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal
from maskrcnn.optional import needed
from maskrcnn.structures.rle import Rle

LOOKED_FOR = "zip files of ImageJ's ROI manager (with .roi in them), one for each picture"
MAX_ROI_BYTES = 16 << 20
"""Unpacked, of one; a million points."""
MAX_ROIS_BYTES = 1 << 30
"""Unpacked, of a zip."""
_MARKS = re.compile(r"(?i)(^roiset[_-]?|[_-]?roiset$|[_-]?rois?$)")
_CLASS = re.compile(r"(?m)^class:\s*(.+?)\s*$")


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(finding.parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Polygons, freehand and traced outlines, rectangles, ovals, and composites with holes and parts.

    A_RoiSet.zip, RoiSet_A.zip, A.zip and A.roi belong to the picture A, beside the file, in images/, or in `images`.
    The class is the property `class` of a ROI, which `maskrcnn` writes; other ROIs are objects of one class.

    Raises:
        MissingPackageError: roifile is not installed.
    """
    roifile = needed("roifile", "imagej", "ROIs of ImageJ")
    readings = finding.read_splits(
        path, images, _files_in, lambda part, given: _read_split(roifile, _files_in(part), given)
    )
    return assemble(readings, path, images)


def _files_in(path: Path) -> list[Path]:
    files = sorted([*path.glob("*.zip"), *path.glob("*.roi")]) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and _is_rois(file)]


def _is_rois(file: Path) -> bool:
    if file.suffix.lower() == ".roi":
        with file.open("rb") as opened:
            return opened.read(4) == b"Iout"
    if file.suffix.lower() != ".zip" or not zipfile.is_zipfile(file):
        return False
    try:
        with zipfile.ZipFile(file) as opened:
            names = opened.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
    return all(name.lower().endswith(".roi") for name in names) and (bool(names) or "roiset" in file.stem.lower())


def _read_split(roifile: Any, files: list[Path], images: Path | None) -> Reading:
    paths = {}
    for file in files:
        stem = _MARKS.sub("", file.stem)
        folders = [images] if images else [file.parent, file.parent / "images"]
        known = [pictures[stem] for pictures in map(finding.by_stem, folders) if stem in pictures]
        paths[file] = known[0] if known else folders[0] / f"{stem}.tif"
    sizes, problems = finding.sizes_of(paths.values())
    reading = Reading([], problems)
    for file, path in paths.items():
        if path in sizes:
            shapes = []
            for name, data in _members(file, problems):
                try:
                    roi = _parsed(roifile, data)
                    properties = _CLASS.search(getattr(roi, "props", "") or "")
                    label = properties[1] if properties else ONE_CLASS
                    shapes.append(Shape(label, _segmentation(roifile, roi, sizes[path]), file, name))
                except ValueError as error:
                    problems.append(refusal(error, file, name))
            reading.pictures.append(Picture(path, sizes[path], shapes))
    return reading


def _members(file: Path, problems: list[Problem]) -> Iterator[tuple[str, bytes]]:
    if file.suffix.lower() == ".roi":
        with file.open("rb") as opened:
            yield file.name, opened.read(MAX_ROI_BYTES)
        return
    total = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            total += member.file_size
            if member.file_size > MAX_ROI_BYTES or total > MAX_ROIS_BYTES:
                problems.append(
                    found("malformed-shape", f"{member.file_size} bytes, more than is read", file, member.filename)
                )
                continue
            try:
                yield member.filename, archive.read(member)
            except Exception as error:  # damage and unknown compression raise nearly anything
                problems.append(found("malformed-shape", f"it cannot be unpacked ({error})", file, member.filename))


def _parsed(roifile: Any, data: bytes) -> Any:
    try:
        return roifile.ImagejRoi.frombytes(data)
    except Exception as error:  # damaged bytes raise whatever they lead to
        raise ValueError(f"expected a ROI of ImageJ ({' '.join(str(error).split())[:100]})") from None


def _segmentation(roifile: Any, roi: Any, size: tuple[int, int]) -> list[list[float]] | Rle:
    kinds = roifile.ROI_TYPE
    if roi.composite and roi.multi_coordinates is not None:
        return filled([_path(roi.multi_coordinates)], size)
    if roi.roitype in (kinds.POLYGON, kinds.FREEHAND, kinds.TRACED):
        return filled([[numbers(np.asarray(roi.coordinates(), np.float64).ravel().tolist())]], size)
    if roi.roitype in (kinds.RECT, kinds.OVAL):
        edges = roi.left, roi.top, roi.right, roi.bottom
        if roi.subpixelrect:
            edges = roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
        x0, y0, x1, y1 = numbers([float(edge) for edge in edges], 4)
        if roi.roitype == kinds.RECT:
            return [rectangle(x0, y0, x1, y1)]
        return [ellipse((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2)]
    raise AnnotationError("open-shape", f"a ROI of type {roi.roitype.name}")


def _path(numbers_: np.ndarray) -> list[list[float]]:
    """The rings of a path: 0 x y begins one, 1 x y goes on, 4 closes it; curves (2, 3) are not read."""
    values = np.asarray(numbers_, np.float64).tolist()
    rings: list[list[float]] = []
    at = 0
    while at < len(values):
        kind = values[at]
        if kind == 4:
            at += 1
            continue
        if kind not in (0, 1) or at + 2 >= len(values) or not math.isfinite(values[at + 1] + values[at + 2]):
            raise ValueError(f"expected a path of straight lines, got {values[at : at + 3]}")
        if kind == 0:
            rings.append([])
        if not rings:
            raise ValueError("expected a path that begins with a move")
        rings[-1] += values[at + 1 : at + 3]
        at += 3
    return [ring for ring in rings if len(ring) >= 6]
