"""One picture and everything that was done to it, as the sum of its journal's lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrcnn.report.intervals import spreads
from maskrcnn.serve.objects import Change, MarkedObject


@dataclass(frozen=True)
class Edit:
    """Objects that gave way to others; a relabelled one gives way to itself with another label."""

    before: tuple[MarkedObject, ...]
    after: tuple[MarkedObject, ...]
    change: Change


class PictureRecord:
    """A picture's state. `follow` is the only way in which it changes, live and when a journal is read again."""

    def __init__(self, id: str, line: Mapping[str, Any]) -> None:
        self.id = id
        self.file_name = str(line["file_name"])
        self.page = None if line["page"] is None else int(line["page"])
        self.size = (0, 0)
        self.failure = ""
        self.is_found = False
        self.objects: dict[int, MarkedObject] = {}
        self.done: list[Edit] = []
        self.undone: list[Edit] = []
        self.checked: Change | None = None
        self.last_number = 0

    def follow(self, line: Mapping[str, Any]) -> None:
        """Do what a line says.

        Raises:
            ValueError, KeyError, TypeError: it does not fit what was before.
        """
        if "found" in line:
            height, width = line["size"]
            self.size = int(height), int(width)
            self._put([MarkedObject.from_dict(one, self.size) for one in line["found"]])
            self.is_found, self.failure = True, ""
            return
        if "failed" in line:
            self.failure = str(line["failed"])
            return
        change = Change(str(line["what"]), str(line["by"]), str(line["at"]))
        if change.what == "undo":
            edit = self.done.pop()
            self._swap(edit.after, edit.before)
            self.undone.append(edit)
        elif change.what == "redo":
            edit = self.undone.pop()
            self._swap(edit.before, edit.after)
            self.done.append(edit)
        elif change.what in ("check", "uncheck"):
            self.checked = change if change.what == "check" else None
        else:
            before = tuple(self.objects[int(number)] for number in line["before"])
            after = tuple(MarkedObject.from_dict(one, self.size) for one in line["after"])
            self._swap(before, after)
            self.done.append(Edit(before, after, change))
            self.undone.clear()

    @property
    def state(self) -> str:
        """ "waiting", "done" or "failed"."""
        return "failed" if self.failure else "done" if self.is_found else "waiting"

    def counted(self, score: float) -> list[MarkedObject]:
        """The objects that count at a score threshold, by their number."""
        return [self.objects[number] for number in sorted(self.objects) if self.objects[number].is_counted(score)]

    def spread(self, score: float, num_classes: int) -> float:
        """How far the count may be off, up to a factor; what a person has seen to is sure."""
        unsure = [one for one in self.objects.values() if one.score is not None and one.is_counted(score)]
        scores = np.array([1.0 if one.changes else one.score for one in unsure], float)
        return float(spreads(np.array([one.label for one in unsure], int), scores, num_classes)[-1])

    def removed(self) -> list[tuple[MarkedObject, Change]]:
        """The objects of the network that are gone, and through which change."""
        gone: dict[int, tuple[MarkedObject, Change]] = {}
        for edit in self.done:
            gone |= {one.number: (one, edit.change) for one in edit.before}
        return [pair for number, pair in sorted(gone.items()) if number not in self.objects]

    def _swap(self, before: tuple[MarkedObject, ...], after: tuple[MarkedObject, ...]) -> None:
        for one in before:
            del self.objects[one.number]
        self._put(after)

    def _put(self, objects: Any) -> None:
        for one in objects:
            if one.number in self.objects:
                raise ValueError(f"there is an object {one.number} already")
            self.objects[one.number] = one
            self.last_number = max(self.last_number, one.number)
