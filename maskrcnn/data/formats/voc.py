"""Pascal VOC segmentation: SegmentationObject tells objects apart, SegmentationClass says what they are.

Also what CVAT ("Segmentation mask") and LabelMe (labelme2voc) write in this layout, where a file names the classes.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import Picture, Reading, Shape, assemble
from maskrcnn.data.formats.bitmaps import open_mask, rles_by_value, scattered
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal
from maskrcnn.structures.rle import Rle, rle_counts
from maskrcnn.untrusted.plain_text import read_lines

LOOKED_FOR = "SegmentationObject/*.png and SegmentationClass/*.png of Pascal VOC, with JPEGImages/"
VOID = 255
"""Borders and what is not annotated."""
# VOC 2012, in the order of the palette, after the background.
VOC_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
BACKGROUND_NAMES = ("background", "_background_")
IGNORE_NAMES = ("__ignore__",)
BORDER_COLOR = (224, 224, 192)
"""Of `VOID` in VOC's palette."""
ROWS = 256
"""Of a mask that are looked at together, for memory."""
PIXELS_AT_ONCE = 1_000_000
"""Of an object."""
MIXED_SHARE = 0.9
"""An object of which less than this share has one class is doubtful."""
_ROOT = re.compile(rb"<annotation[\s>]")  # CVAT has <annotations>

Colors = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Classes:
    """What the values of SegmentationClass mean."""

    names: tuple[str, ...]
    """By value; the background included."""
    colors: Colors | None
    """By value, where a file says so; then colours count and not palette places."""

    @property
    def objects(self) -> list[str]:
        return [name for name in self.names if name not in (*BACKGROUND_NAMES, *IGNORE_NAMES)]


def is_format(path: Path) -> bool:
    """Whether `path` has a folder SegmentationObject or SegmentationClass, or the boxes of VOC's XML."""
    return any((path / name).is_dir() for name in ("SegmentationObject", "SegmentationClass")) or has_boxes(path)


def has_boxes(path: Path) -> bool:
    """Whether `path` is or holds XML files of VOC, directly or in Annotations."""
    if path.is_file():
        return _is_voc_xml(path)
    files = [file for folder in (path, path / "Annotations") for file in sorted(folder.glob("*.xml"))[:1]]
    return any(map(_is_voc_xml, files))


def _is_voc_xml(file: Path) -> bool:
    if file.suffix.lower() != ".xml" or not file.is_file():
        return False
    with file.open("rb") as opened:
        return bool(_ROOT.search(opened.read(1000)))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Objects with holes and all parts, without their void borders; the class is that of most of an object's pixels.

    Splits are the lists in ImageSets/Segmentation. Class names are in labelmap.txt or class_names.txt, or else VOC's.

    Raises:
        ValueError: there is no SegmentationObject, so that objects cannot be told apart.
    """
    if path.is_file() or not (path / "SegmentationObject").is_dir():
        boxes = "VOC's XML has boxes, and a mask is what is trained on: " if has_boxes(path) else ""
        if boxes or not (path / "SegmentationClass").is_dir():
            raise ValueError(f"{path}: {boxes}expected masks in SegmentationObject, which is not there")
    for folder in ("SegmentationObject", "SegmentationClass"):
        if not (path / folder).is_dir():
            why = (
                "without it objects cannot be told apart (the format voc-classes takes a class for every pixel)"
                if folder == "SegmentationObject"
                else "it says the classes"
            )
            raise ValueError(f"{path}: there is no {folder}; {why}")
    classes, problems = read_classes(path)
    folder = images or (path / "JPEGImages" if (path / "JPEGImages").is_dir() else path)
    pictures = finding.by_stem(folder)
    readings = {
        split: _read_split(path, stems, pictures, folder, classes) for split, stems in lists_of_splits(path).items()
    }
    next(iter(readings.values())).problems.extend(problems)
    return assemble(readings, path, images, classes.objects)


def read_classes(path: Path) -> tuple[Classes, list[Problem]]:
    """What the values mean, by labelmap.txt or class_names.txt, or else as in VOC 2012, which is then a problem."""
    map_file, names_file = path / "labelmap.txt", path / "class_names.txt"
    if map_file.is_file():  # name:red,green,blue:parts:actions
        lines = [line for line in read_lines(map_file) if line.strip()]
        rows = [line.split(":") for line in lines if not line.startswith("#")]
        if all(len(row) < 2 or not row[1].strip() for row in rows):  # names alone, in the order of the values
            return Classes(tuple(row[0].strip() for row in rows), None), []
        colors = [row[1].split(",") if len(row) > 1 else [] for row in rows]
        if not all(len(color) == 3 and all(value.strip().isdecimal() for value in color) for color in colors):
            raise ValueError(f"{map_file}: expected lines name:red,green,blue:parts:actions")
        return Classes(tuple(row[0].strip() for row in rows), tuple((int(r), int(g), int(b)) for r, g, b in colors)), []
    if names_file.is_file():
        names = [line.strip() for line in read_lines(names_file) if line.strip()]
        return Classes(tuple(name for name in names if name not in IGNORE_NAMES), None), []
    reason = "no labelmap.txt or class_names.txt; the values are taken as the 20 classes of VOC 2012"
    return Classes(("background", *VOC_NAMES), None), [found("assumed-class-names", reason, path)]


def lists_of_splits(path: Path, masks: str = "SegmentationObject") -> dict[str, list[str]]:
    """Stems of each split, by the lists in ImageSets/Segmentation, or else of what lies in the folder `masks`."""
    files = [file for file in sorted((path / "ImageSets" / "Segmentation").glob("*.txt")) if file.is_file()]
    lists = {file.stem: [line.strip() for line in read_lines(file)] for file in files}
    lists = {name: [stem for stem in stems if stem] for name, stems in lists.items()}
    if "trainval" in lists and lists.keys() & {"train", "val"}:
        del lists["trainval"]  # both together
    lists = {name: stems for name, stems in lists.items() if stems}
    if len(lists) == 1 and not lists.keys() & {"train", "val", "test"}:  # CVAT writes default.txt
        lists = {finding.WHOLE: next(iter(lists.values()))}
    if lists:
        return lists
    return {finding.WHOLE: [mask.stem for mask in finding.entries(path / masks) if finding.is_image(mask)]}


def _read_split(path: Path, stems: list[str], pictures: dict[str, Path], folder: Path, classes: Classes) -> Reading:
    paths = {stem: pictures.get(stem) or pictures.get(Path(stem).name) or folder / f"{stem}.jpg" for stem in stems}
    sizes, problems = finding.sizes_of(paths.values())
    reading = Reading([], problems)
    for stem, picture in paths.items():
        if picture not in sizes:
            continue
        object_file, class_file = (path / name / f"{stem}.png" for name in ("SegmentationObject", "SegmentationClass"))
        missing = [file for file in (object_file, class_file) if not os.path.isfile(file)]
        if missing:
            problems.append(found("missing-mask", f"there is no {missing[0].parent.name}/{missing[0].name}", picture))
            continue
        try:
            objects, labels = _values(object_file, None), _values(class_file, classes.colors)
            rles = rles_by_value(np.where(objects == VOID, 0, objects))
        except ValueError as error:
            problems.append(found("unreadable-mask", str(error), object_file))
            continue
        wrong = [
            finding.size_problem(picture, sizes[picture], (mask.shape[0], mask.shape[1]), f"its {name}")
            for mask, name in ((objects, "SegmentationObject"), (labels, "SegmentationClass"))
        ]
        if any(wrong):
            problems += [problem for problem in wrong if problem][:1]
        else:
            shapes = _read_shapes(rles, labels, classes, object_file, problems)
            reading.pictures.append(Picture(picture, sizes[picture], shapes))
    return reading


def _values(file: Path, colors: Colors | None) -> np.ndarray:
    """(H, W), unsigned: the numbers of a grey or palette image; of colours the place in `colors` or VOC's palette."""
    image = open_mask(file)
    if image.mode == "L" or (image.mode == "P" and colors is None):
        return np.asarray(image)
    values = np.zeros((image.height, image.width), np.uint8)
    for row in range(0, image.height, ROWS):
        strip = image.crop((0, row, image.width, min(row + ROWS, image.height))).convert("RGB")
        rgb = np.asarray(strip).astype(np.int32)
        places = palette_places(rgb) if colors is None else _places(rgb, colors, file)
        if values.dtype == np.uint8 and places.max(initial=0) > VOID:
            values = values.astype(np.uint32)
        values[row : row + ROWS] = places
    return values


def palette_places(rgb: np.ndarray) -> np.ndarray:
    """Which of VOC's colours each pixel of (H, W, 3) int32 has, int32 (H, W); `VOID` is the light one of borders.

    Bits 0, 3, 6, ... of a place are the red of its colour, from the highest bit down; 1, 4, 7, ... the green, and
    2, 5, ... the blue.
    """
    places = np.zeros(rgb.shape[:2], np.int32)
    for bit in range(8):
        for channel in range(3):
            places |= ((rgb[..., channel] >> (7 - bit)) & 1) << (3 * bit + channel)
    return places


def _places(rgb: np.ndarray, colors: Colors, file: Path) -> np.ndarray:
    weights = np.array([65536, 256, 1], np.int32)
    codes = rgb @ weights
    place_of = {int(np.dot(color, weights)): place for place, color in enumerate(colors)}
    found, inverse = np.unique(codes, return_inverse=True)
    border = int(np.dot(BORDER_COLOR, weights))
    unknown = [code for code in found.tolist() if code not in (*place_of, 0, border)]
    if unknown:
        raise ValueError(f"{file}: the colour #{unknown[0]:06x} is in no line of labelmap.txt")
    return np.array([place_of.get(code, VOID) for code in found.tolist()])[inverse].reshape(codes.shape)


def _read_shapes(
    rles: dict[int, Rle], labels: np.ndarray, classes: Classes, file: Path, problems: list[Problem]
) -> list[Shape]:
    shapes = []
    by_column = labels.T.ravel()
    for (value, rle), num_parts in zip(rles.items(), scattered(list(rles.values())), strict=True):
        name = f"object {value}"
        try:
            label, share = _majority(rle, by_column, classes)
        except ValueError as error:
            problems.append(refusal(error, file, name))
            continue
        shapes.append(Shape(classes.names[label], rle, file, name))
        if share < MIXED_SHARE:
            reason = f"{share:.0%} of its pixels are {classes.names[label]}"
            problems.append(found("mixed-classes", reason, file, name))
        if num_parts:
            problems.append(found("scattered-object", f"{num_parts} parts far from one another", file, name))
    return shapes


def _majority(rle: Rle, labels: np.ndarray, classes: Classes) -> tuple[int, float]:
    """The class of most pixels of an object, and its share of those that have one.

    `labels` (W * H,) is column by column; only the object's own pixels are looked at, however far apart they are.
    """
    runs = rle_counts(rle)
    stops, lengths = np.cumsum(runs)[1::2], runs[1::2]
    counts = np.zeros(VOID + 1, np.int64)
    for part in np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(np.cumsum(lengths) // PIXELS_AT_ONCE)) + 1):
        first = stops[part] - np.cumsum(lengths[part])
        inside = labels[np.arange(lengths[part].sum()) + np.repeat(first, lengths[part])]
        found_here = np.bincount(inside, minlength=len(counts))
        counts = np.pad(counts, (0, len(found_here) - len(counts))) + found_here
    counts[VOID] = 0
    for k, name in enumerate(classes.names):
        if name in BACKGROUND_NAMES and k < len(counts):
            counts[k] = 0
    if not counts.any():
        raise AnnotationError("no-class", "SegmentationClass says background or void at all of its pixels")
    label = int(counts.argmax())
    if label >= len(classes.names):
        raise AnnotationError("unknown-category", f"class {label}, but only {len(classes.names)} names are known")
    if classes.names[label] in IGNORE_NAMES:
        raise AnnotationError("ignored-region", f"labelled {classes.names[label]}")
    return label, float(counts[label] / counts.sum())
