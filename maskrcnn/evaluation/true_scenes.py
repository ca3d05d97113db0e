"""The true scenes of panoptic annotations, in the classes of a model (T segments)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.structures.panoptic import Panoptic, Segment
from maskrcnn.structures.rle import decode, decode_window

SUFFIXES = ("-merged", "-other")
"""Of COCO's names of stuff, which detectron2 leaves out."""


@dataclass(frozen=True)
class TrueScenes:
    """The scene of every image of a table; what the model has no class for is void, and is not judged."""

    table: Annotations
    thing_names: tuple[str, ...]
    stuff_names: tuple[str, ...]
    thing_of: np.ndarray
    """The model's label of each of the table's, -1 where it has none."""
    stuff_of: np.ndarray
    """The same for stuff."""

    def __call__(self, index: int) -> tuple[Panoptic, list[int]]:
        """The scene of image `index`, and the ids of its regions of many things."""
        table, size = self.table, self.table.size(index)
        assert table.stuff is not None
        ids = np.zeros(size, np.int32)
        segments: list[Segment] = []
        crowds: list[int] = []
        for kind, rle in table.stuff.of_image(index, size):
            label = int(self.stuff_of[kind])
            if label >= 0:
                bitmap = decode(rle).view(bool)
                ids[bitmap] = len(segments) + 1
                segments.append(Segment(len(segments) + 1, label, False, int(bitmap.sum())))
        rows = table.rows(index)
        for row in rows[table.is_usable[rows]].tolist():
            label = int(self.thing_of[table.labels[row]])
            x0, y0, x1, y1 = table.corners(np.array([row]))[0].tolist()
            bitmap = decode_window(table.rle(row), (x0, y0, x1, y1))
            number = len(segments) + 1 if label >= 0 else 0
            ids[y0:y1, x0:x1][bitmap] = number
            if number:
                segments.append(Segment(number, label, True, int(bitmap.sum())))
                crowds += [number] if table.is_crowd[row] else []
        return Panoptic(ids, tuple(segments), self.thing_names, self.stuff_names), crowds


def true_scenes(
    table: Annotations, category_ids: Sequence[int], thing_names: tuple[str, ...], stuff_names: tuple[str, ...]
) -> TrueScenes:
    """For a model whose things have these category ids in `table`, and whose stuff is told by its names.

    Raises:
        ValueError: annotations without stuff, or with none of the model's.
    """
    if table.stuff is None:
        raise ValueError(f"{table.source}: expected panoptic annotations, got ones without stuff")
    label_of_id = {number: label for label, number in enumerate(category_ids)}
    label_of_name = {_plain(name): label for label, name in enumerate(stuff_names)}
    thing_of = np.array([label_of_id.get(number, -1) for number in table.category_ids], np.int64)
    stuff_of = np.array([label_of_name.get(_plain(name), -1) for name in table.stuff.names], np.int64)
    if not (stuff_of >= 0).any():
        raise ValueError(
            f"{table.source}: expected stuff out of {', '.join(stuff_names[:5])}..., got {', '.join(table.stuff.names)}"
        )
    return TrueScenes(table, thing_names, stuff_names, thing_of, stuff_of)


def _plain(name: str) -> str:
    for suffix in SUFFIXES:
        name = name.replace(suffix, "")
    return name.strip().casefold()
