"""What can be wrong with a data set: every kind of problem with its verdict, and one finding at a time."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from maskrcnn.untrusted.names import printable

MAX_NAME = 1000
"""Letters of a file, an id or a reason in a table; a stranger's may have any number."""
MAX_TOLD = 250
"""Of a reason in a sentence that names several."""

Severity = Literal["error", "warning", "fixed"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    severity: Severity
    """`fixed`: put right while reading, so that nothing is lost."""
    kind: str
    """Short name of the sort of problem, such as "two-point-polygon"."""
    reason: str
    """What was expected and what came."""
    file: str = ""
    """Annotation file or image that it is in."""
    annotation_id: str = ""
    """Of the annotation; empty where it is about a whole file."""
    row: int = -1
    """Of the annotation in the table of its split; -1 where it is not in it, or the problem is about something else."""
    image: int = -1
    """Index of the image in the table of its split that it is about as a whole; -1 if none."""

    def row_of_table(self) -> tuple[str, str, str, str, str]:
        """Verdict, kind, file, annotation and reason, for pages and tables; names in them are `printable`."""
        return self.severity, self.kind, printable(self.file), printable(self.annotation_id), printable(self.reason)


@dataclass(frozen=True)
class Kind:
    """A sort of problem. An error stops a training unless the user allows it."""

    severity: Severity
    meaning: str
    """What it does to a training or an evaluation, or what to do about it."""
    can_be_allowed: bool = True
    """Whether there is something to go on with when what has this error is left out."""


def _error(meaning: str, *, can_be_allowed: bool = True) -> Kind:
    return Kind("error", meaning, can_be_allowed)


def _warning(meaning: str) -> Kind:
    return Kind("warning", meaning)


def _fixed(meaning: str) -> Kind:
    return Kind("fixed", meaning)


_FILE = {
    "not-coco": _error("the annotations lack a list that a COCO instance file has", can_be_allowed=False),
    "bad-category": _error("a category needs an id and a name, and there has to be one"),
    "duplicate-category-id": _error("which class an annotation has cannot be told", can_be_allowed=False),
    "duplicate-category-name": _error(
        "two classes of one name cannot be told apart in any result", can_be_allowed=False
    ),
    "bad-image-record": _error("an image needs an id and a file_name"),
    "no-images": _error("there is nothing to train on or to measure with", can_be_allowed=False),
    "bad-image-size": _error("an image needs its height and width in pixels, whole numbers above 0"),
    "duplicate-image-id": _error("which image an annotation belongs to cannot be told"),
    "duplicate-file-name": _error("each record has a part of the objects, so the others count as background"),
    "repeated-record": _fixed("it is in the file more than once, with the same id: read once"),
    "missing-size": _fixed("height and width are taken from the image"),
    "renumbered-ids": _fixed("each is read as a whole number, as COCO has them; what refers to them follows"),
    "file-name-spelling": _fixed("read under the name that is on the disk"),
    "file-name-bytes": _warning("kept; programs that expect UTF-8 will not find the file: rename it"),
    "non-finite-value": _fixed("JSON has no NaN and no infinity: read as null"),
}
_IMAGES = {
    "missing-image": _error("the file is not where the annotations and the image folder say"),
    "unreadable-image": _error("the file cannot be decoded"),
    "swapped-size": _error("height and width are exchanged, so annotations lie elsewhere than their objects"),
    "wrong-size": _error("the annotations were made on an image of another size"),
    "ambiguous-orientation": _warning("EXIF turns the image and its size does not tell whether the annotations turn"),
}
_RECORDS = {
    "bad-annotation": _error("expected a record of an annotation, with iscrowd 0 or 1"),
    "renumbered-annotation": _fixed("an id is a whole number and names one annotation: it got one of its own"),
    "unknown-image": _error("no image record has this id"),
    "unknown-category": _error("no category has this id"),
    "missing-iscrowd": _fixed("taken as 0: an object, no crowd"),
    "iscrowd-text": _fixed("read as the number that it is"),
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
    "long-outline": _error("no object has so long an outline, and drawing it would take all memory"),
    "point-pairs": _fixed("read as polygons [x, y, x, y, ...]"),
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
    "mostly-crowd": _error("crowd regions are ignored in training; if objects are meant, have them read as such"),
    "no-instances": _error("there is nothing to train on or to measure with", can_be_allowed=False),
    "empty-images": _warning("kept: images without objects teach what is background; are they all meant?"),
    "class-without-instance": _warning("a class that never occurs cannot be learned or measured"),
    "crowd-only-class": _warning("a class that occurs only as crowd is ignored in training"),
    "duplicate-image": _warning("the same image counts twice"),
    "image-in-two-splits": _error("what is measured on an image that was trained on is no measurement"),
    "class-names-differ": _error("the splits have to have the same classes", can_be_allowed=False),
}
_READING = {
    "unreadable-annotations": _error("the file is damaged or not what its neighbours are; it is left out"),
    "malformed-shape": _error("the numbers of a shape are missing or wrong; it is left out"),
    "open-shape": _error("a point or a line encloses nothing, so it cannot be an object; it is left out"),
    "unknown-shape": _error("a sort of shape that is not known here; it is left out"),
    "bad-panoptic-record": _error("an image of panoptic annotations needs one record with its PNG; it is left out"),
    "bad-segment": _error("a segment needs an id of its PNG and a known category; its pixels count as void"),
    "segment-without-pixels": _error("no pixel of the PNG has the id of this segment; it is left out"),
    "pixels-without-segment": _warning("no record says what the pixels of this id are; they count as void"),
    "no-class": _error("an object needs one class; it is left out"),
    "not-normalised": _error("YOLO coordinates are shares of the image's sides; the object is left out"),
    "missing-mask": _error("the image is listed but has no mask; it is left out"),
    "missing-split": _error("the data set names images that are not there"),
    "unknown-class-value": _error("a number or colour that the list of classes does not have; the image is left out"),
    "ambiguous-mask": _error("which mask belongs to the image cannot be told; it is left out"),
    "unreadable-mask": _error("expected an image with one whole number for each object; it is left out"),
    "ignored-region": _warning("left out: what lies there counts as background"),
    "box-only": _warning("a mask is what is trained on, and the whole rectangle is taken for it"),
    "grey-mask": _warning("a mask is yes or no; from half of the brightest value on it is taken as yes"),
    "scattered-object": _warning("one value is one object; are these several objects with the same value?"),
    "mixed-classes": _warning("the class is that of most of its pixels; are the two masks of one annotation?"),
    "assumed-class-names": _warning("no file beside the masks names the classes"),
    "class-attribute": _warning("several attributes could be the class; is it the right one?"),
    "unannotated-images": _warning("left out; images without objects have to be saved as such to be used"),
    "no-label-file": _warning("kept as images without objects, as YOLO does"),
    "merged-records": _fixed("the objects of all records of one image are put together"),
}
CHECK_KINDS: dict[str, Kind] = {**_FILE, **_IMAGES, **_RECORDS, **_MASKS, **_BOXES, **_SETS}
"""What the checks of `maskrcnn.data.checks` can find."""
KINDS: dict[str, Kind] = {**CHECK_KINDS, **_READING}
"""All of them, with what comes up while annotations of another format are read."""
MEANINGS = {name: kind.meaning for name, kind in KINDS.items()}


def found(
    kind: str, reason: str, file: object = "", annotation_id: object = "", *, row: int = -1, image: int = -1
) -> Problem:
    """A problem of one of `KINDS`, with that kind's verdict."""
    return Problem(KINDS[kind].severity, kind, _cut(reason), _cut(str(file)), _cut(str(annotation_id)), row, image)


def _cut(text: str, limit: int = MAX_NAME) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def blocking(problems: Iterable[Problem], allowed: Collection[str] = ()) -> list[Problem]:
    """The errors that a training should stop for: those whose kind is not `allowed`, or cannot be."""
    return [
        problem
        for problem in problems
        if problem.severity == "error" and not (problem.kind in allowed and KINDS[problem.kind].can_be_allowed)
    ]


def named(problems: Sequence[Problem], limit: int) -> str:
    """The first `limit` in one line, and the number of the others."""
    lines = [f"{_where(problem)}: {_cut(problem.reason, MAX_TOLD)} ({problem.kind})" for problem in problems[:limit]]
    more = [f"and {len(problems) - limit} more"] if len(problems) > limit else []
    return "; ".join([*lines, *more])


def _where(problem: Problem) -> str:
    return (
        f"annotation {_cut(problem.annotation_id, MAX_TOLD)} in {problem.file}"
        if problem.annotation_id
        else problem.file
    )


class AnnotationError(ValueError):
    """One annotation cannot be used; its message is the reason."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


def refusal(error: ValueError, file: object, annotation_id: object = "") -> Problem:
    """The problem that an error says; a plain ValueError is about the numbers of a shape."""
    kind = error.kind if isinstance(error, AnnotationError) else "malformed-shape"
    return found(kind, str(error), file, annotation_id)


class DataError(ValueError):
    """Annotations that cannot be used as they are; `problems` are the errors, of which the message names some."""

    MAX_NAMED = 10

    def __init__(self, what: str, problems: Sequence[Problem]):
        noun = "error" if len(problems) == 1 else "errors"
        super().__init__(f"{what}: {len(problems)} {noun}: {named(problems, self.MAX_NAMED)}")
        self.problems = tuple(problems)

    @property
    def allowable(self) -> list[str]:
        """Kinds of these problems that can be left out instead, sorted; empty if one of the others is among them."""
        kinds = {problem.kind for problem in self.problems}
        return sorted(kinds) if all(KINDS[kind].can_be_allowed for kind in kinds) else []
