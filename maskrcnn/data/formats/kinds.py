"""What can go wrong while annotations of another format are read, beside what `maskrcnn.data.checks` finds in COCO."""

from maskrcnn.data.checks.kinds import KINDS, Kind
from maskrcnn.data.problems import Problem

READING_KINDS = {
    "unreadable-annotations": Kind("error", "the file is damaged or not what its neighbours are; it is left out"),
    "malformed-shape": Kind("error", "the numbers of a shape are missing or wrong; it is left out"),
    "open-shape": Kind("error", "a point or a line encloses nothing, so it cannot be an object; it is left out"),
    "unknown-shape": Kind("error", "a sort of shape that is not known here; it is left out"),
    "no-class": Kind("error", "an object needs one class; it is left out"),
    "not-normalised": Kind("error", "YOLO coordinates are shares of the picture's sides; the object is left out"),
    "missing-mask": Kind("error", "the picture is listed but has no mask; it is left out"),
    "missing-split": Kind("error", "the data set names pictures that are not there"),
    "ambiguous-mask": Kind("error", "which mask belongs to the picture cannot be told; it is left out"),
    "unreadable-mask": Kind("error", "expected a picture with one whole number for each object; it is left out"),
    "ignored-region": Kind("warning", "left out: what lies there counts as background"),
    "box-only": Kind("warning", "a mask is what is trained on, and the whole rectangle is taken for it"),
    "grey-mask": Kind("warning", "a mask is yes or no; from half of the brightest value on it is taken as yes"),
    "scattered-object": Kind("warning", "one value is one object; are these several objects with the same value?"),
    "mixed-classes": Kind("warning", "the class is that of most of its pixels; are the two masks of one annotation?"),
    "assumed-class-names": Kind("warning", "no file beside the masks names the classes"),
    "class-attribute": Kind("warning", "several attributes could be the class; is it the right one?"),
    "unannotated-images": Kind("warning", "left out; pictures without objects have to be saved as such to be used"),
    "no-label-file": Kind("warning", "kept as pictures without objects, as YOLO does"),
    "merged-records": Kind("fixed", "the objects of all records of one picture are put together"),
}
MEANINGS = {name: kind.meaning for name, kind in (KINDS | READING_KINDS).items()}


def noticed(kind: str, reason: str, file: object, annotation_id: object = "") -> Problem:
    """A problem of any of these kinds, with that kind's verdict."""
    severity = (READING_KINDS.get(kind) or KINDS[kind]).severity
    return Problem(severity, kind, reason, str(file), str(annotation_id))


class AnnotationError(ValueError):
    """One annotation cannot be used; its message is the reason."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


def refusal(error: ValueError, file: object, annotation_id: object = "") -> Problem:
    """The problem that an error says; a plain ValueError is about the numbers of a shape."""
    kind = error.kind if isinstance(error, AnnotationError) else "malformed-shape"
    return noticed(kind, str(error), file, annotation_id)
