"""Any annotations as a class for every pixel: class images as they are, and objects on a background (K classes)."""

from collections.abc import Sequence

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.transforms import Sample
from maskrcnn.structures.label_map import VOID_LABEL, LabelMap
from maskrcnn.structures.rle import decode, decode_window
from maskrcnn.structures.targets import Targets

BACKGROUND = "background"
"""The class of pixels that no object covers, where annotations know objects alone."""
MAX_CLASSES = 255
"""A label is a byte, and 255 is void."""


class PixelClasses:
    """A table of annotations whose pictures come with the class of every pixel, and without objects.

    Where the table knows stuff, its classes are those of its things and of its stuff, and pixels of neither are void.
    Where it knows objects alone, they are `BACKGROUND` and those of the objects. Objects that overlap are laid down
    with the largest first, crowd regions before all.

    Args:
        class_names: the classes 0..K-1 of a model, of which the table has some; None takes those of the table.

    Raises:
        ValueError: a class of the table that is none of `class_names`, too many classes, or none.
    """

    def __init__(self, table: Annotations, class_names: Sequence[str] | None = None) -> None:
        stuff = table.stuff.names if table.stuff is not None else ()
        own = (*table.class_names, *stuff)
        if table.stuff is None and BACKGROUND not in own:
            own = (BACKGROUND, *own)
        self.table = table
        self.class_names = tuple(dict.fromkeys(own)) if class_names is None else tuple(class_names)
        if not 1 <= len(self.class_names) <= MAX_CLASSES:
            raise ValueError(f"{table.source}: expected 1 to {MAX_CLASSES} classes, got {len(self.class_names)}")
        missing = [name for name in own if name not in self.class_names]
        if missing:
            raise ValueError(
                f"{table.source} has the class {', '.join(missing[:5])}, which is none of {', '.join(self.class_names)}"
            )
        place = {name: k for k, name in enumerate(self.class_names)}
        self._of_objects = np.array([place[name] for name in table.class_names], np.uint8)
        self._of_stuff = np.array([place[name] for name in stuff], np.uint8)
        self._elsewhere = place[BACKGROUND] if table.stuff is None else VOID_LABEL

    @property
    def background(self) -> str | None:
        """The class that stands for nothing in particular, if there is one."""
        return next((name for name in self.class_names if name.strip("_").casefold() == BACKGROUND), None)

    @property
    def file_names(self) -> tuple[str, ...]:
        """Of the pictures."""
        return self.table.file_names

    def __len__(self) -> int:
        return len(self.table)

    def some(self, num: int) -> "PixelClasses":
        """At most `num` of the pictures, evenly over the set."""
        kept = np.zeros(len(self), bool)
        kept[np.linspace(0, len(self) - 1, min(num, len(self))).round().astype(int)] = True
        table = self.table.select(kept, np.ones(len(self.table.names), bool))
        return PixelClasses(table, self.class_names)

    def class_map(self, index: int) -> np.ndarray:
        """The class of every pixel of picture `index`, (H, W) uint8; 255 where it is void."""
        table = self.table
        labels = np.full(table.size(index), self._elsewhere, np.uint8)
        if table.stuff is not None:
            for label, rle in table.stuff.of_image(index, table.size(index)):
                labels[decode(rle)] = self._of_stuff[label]
        rows = table.rows(index)
        rows = rows[table.is_usable[rows]]
        order = np.lexsort((-table.mask_areas[rows], ~table.is_crowd[rows]))
        for row in rows[order].tolist():
            x0, y0, x1, y1 = table.corners(np.array([row]))[0].tolist()
            window = decode_window(table.rle(row), (x0, y0, x1, y1))
            labels[y0:y1, x0:x1][window] = self._of_objects[table.labels[row]]
        return labels

    def load(self, index: int) -> Sample:
        """Picture and label map.

        Raises:
            ValueError: the picture does not have the size that the annotations say.
        """
        targets = Targets.empty(LabelMap.of_pixels(self.class_map(index)))
        table = self.table
        return Sample(table.read_checked(index), targets, table.file_names[index], table.image_ids[index])
