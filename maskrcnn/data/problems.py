"""What is wrong with a data set, one finding at a time."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    severity: Literal["error", "warning", "fixed"]
    """`fixed`: put right while reading, so that nothing is lost."""
    kind: str
    """Short name of the sort of problem, such as "two-point-polygon"."""
    reason: str
    """What was expected and what came."""
    file: str = ""
    """Annotation file or image that it is in."""
    annotation_id: str = ""
    """Of the annotation; empty where it is about a whole file."""
