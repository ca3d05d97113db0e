"""Every sort of problem that the checks can find: its short name, its verdict and what it means."""

from dataclasses import dataclass
from typing import Literal

from maskrcnn.data.problems import Problem

Severity = Literal["error", "warning", "fixed"]


@dataclass(frozen=True)
class Kind:
    """A sort of problem. An error stops a training unless the user allows it."""

    severity: Severity
    meaning: str
    """What it does to a training or an evaluation, or what to do about it."""


def _error(meaning: str) -> Kind:
    return Kind("error", meaning)


def _warning(meaning: str) -> Kind:
    return Kind("warning", meaning)


def _fixed(meaning: str) -> Kind:
    return Kind("fixed", meaning)


_FILE = {
    "not-coco": _error("the annotations lack a list that a COCO instance file has"),
    "bad-category": _error("a category needs an integer id and a name, and there has to be one"),
    "duplicate-category-id": _error("which class an annotation has cannot be told"),
    "duplicate-category-name": _error("two classes of one name cannot be told apart in any result"),
    "bad-image-record": _error("an image needs an integer id and a file_name, and there has to be one"),
    "bad-image-size": _error("an image needs its height and width in pixels, whole numbers above 0"),
    "duplicate-image-id": _error("which image an annotation belongs to cannot be told"),
    "duplicate-file-name": _error("each record has a part of the objects, so the others count as background"),
}
_IMAGES = {
    "missing-image": _error("the file is not where the annotations and the image folder say"),
    "unreadable-image": _error("the file cannot be decoded"),
    "swapped-size": _error("height and width are exchanged, so annotations lie elsewhere than their objects"),
    "wrong-size": _error("the annotations were made on a picture of another size"),
    "ambiguous-orientation": _warning("EXIF turns the picture and its size does not tell whether the annotations turn"),
}
_RECORDS = {
    "bad-annotation": _error("an annotation needs an integer id"),
    "duplicate-annotation-id": _error("an id names one annotation"),
    "unknown-image": _error("no image record has this id"),
    "unknown-category": _error("no category has this id"),
    "missing-iscrowd": _fixed("taken as 0: an object, no crowd"),
    "missing-box": _fixed("the box is taken from the mask"),
    "missing-area": _fixed("the area is counted on the mask"),
}
_MASKS = {
    "empty-segmentation": _error("a mask is what is trained on, and this object has none"),
    "malformed-segmentation": _error("expected polygons [[x, y, x, y, ...], ...] or an RLE"),
    "odd-coordinates": _error("a polygon is pairs x, y, and one number has no partner"),
    "non-finite-coordinates": _error("NaN or infinity is no place"),
    "normalised-coordinates": _error("expected pixels, and these look like shares of the image, 0..1"),
    "far-coordinates": _error("a polygon far beyond its image is no outline, and too large to be drawn"),
    "two-point-polygon": _error("two points enclose nothing"),
    "two-point-part": _fixed("a part that encloses nothing is left out; the other parts stay"),
    "rle-size": _error("the RLE was made for an image of another size"),
    "rle-counts": _error("the run lengths do not fill the image, so the mask cannot be read"),
    "empty-mask": _error("the mask has no pixel"),
    "mask-outside-image": _error("the mask has no pixel inside the image"),
    "self-crossing-polygon": _warning("the outline crosses itself; are its points in the right order?"),
    "one-pixel-mask": _warning("an object of one pixel is rarely meant"),
}
_BOXES = {
    "bad-box": _error("a box is four finite numbers, x y width height"),
    "degenerate-box": _error("width and height have to be above 0: an evaluation would never match this box"),
    "box-outside-image": _error("the box lies beside the image, so an evaluation would never match it"),
    "xyxy-boxes": _error("expected x y width height, and these are corners: an evaluation of boxes would be wrong"),
    "box-over-the-edge": _warning("training takes the part inside, from the mask; evaluation the box as it is"),
    "box-unlike-mask": _warning("training takes the box from the mask; evaluation the box as it is"),
    "area-unlike-mask": _warning("evaluation tells small, medium and large objects by `area`"),
}
_SETS = {
    "duplicate-annotation": _warning("one object is annotated, and counted, twice"),
    "mostly-crowd": _error(
        "crowd regions are ignored in training; if objects are meant, read them as such (--crowd-as-objects)"
    ),
    "no-instances": _error("there is nothing to train on or to measure with"),
    "empty-images": _warning("kept: images without objects teach what is background; are they all meant?"),
    "class-without-instance": _warning("a class that never occurs cannot be learned or measured"),
    "crowd-only-class": _warning("a class that occurs only as crowd is ignored in training"),
    "duplicate-image": _warning("the same picture counts twice"),
    "image-in-two-splits": _error("what is measured on a picture that was trained on is no measurement"),
    "class-names-differ": _error("the splits have to have the same classes"),
}
KINDS: dict[str, Kind] = {**_FILE, **_IMAGES, **_RECORDS, **_MASKS, **_BOXES, **_SETS}


def found(kind: str, reason: str, file: object = "", annotation_id: object = "") -> Problem:
    """A problem of one of `KINDS`, with that kind's verdict."""
    return Problem(KINDS[kind].severity, kind, reason, str(file), str(annotation_id))
