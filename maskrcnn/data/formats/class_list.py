"""What the pixels of class images mean: a list of classes by number or by colour (K classes), and images read by it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskrcnn.data.formats.bitmaps import open_mask, read_values
from maskrcnn.data.problems import AnnotationError
from maskrcnn.structures.label_map import VOID_LABEL
from maskrcnn.structures.panoptic import rgb_to_ids
from maskrcnn.untrusted.excerpt import excerpt
from maskrcnn.untrusted.plain_text import read_lines

VOID_NAMES = ("void", "ignore", "ignored", "__ignore__", "unlabelled", "unlabeled", "unknown")
"""A class of such a name, in any case, is none: its pixels count nowhere."""
MAX_CLASSES = VOID_LABEL - 1
"""A label is a byte; 0 is things, and 255 is void."""
NUM_NAMED = 3
_FORMS = {
    "R G B NAME": re.compile(r"(?P<r>\d+)[,;\s]+(?P<g>\d+)[,;\s]+(?P<b>\d+)[,;\s]+(?P<name>\S.*)"),
    "NAME R G B": re.compile(r"(?P<name>.*\S)[,;\s]+(?P<r>\d+)[,;\s]+(?P<g>\d+)[,;\s]+(?P<b>\d+)"),
    "NUMBER NAME": re.compile(r"(?P<number>\d+)[,;:=\s]+(?P<name>\S.*)"),
    "NAME": re.compile(r"(?P<name>\S.*)"),
}
"""How a line may look; all lines of a list look alike."""
_HEADER = re.compile(r"\W*(name|class|number|value|label|r|red)\b.*\b(r|red|b|blue|name|class)\b\W*", re.IGNORECASE)


@dataclass(frozen=True)
class ClassList:
    """The classes, and which pixels have them."""

    source: str
    """What messages call it."""
    names: tuple[str, ...]
    index_of: Mapping[int, int]
    """Class 0..K-1 by number, or by colour as R + 256 G + 65536 B; -1 for what counts nowhere."""
    is_by_color: bool = False

    def read(self, file: Path) -> np.ndarray:
        """(H, W) uint8: 1 + the class of every pixel of a class image, 0 for those that count nowhere.

        Raises:
            AnnotationError: unreadable-mask, or unknown-class-value for what the list does not have.
        """
        try:
            values = self._values(file)
        except ValueError as error:
            raise AnnotationError("unreadable-mask", str(error).removeprefix(f"{file}: ")) from None
        present, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        unknown = [(int(v), int(n)) for v, n in zip(present, counts, strict=True) if int(v) not in self.index_of]
        if unknown:
            named = ", ".join(f"{self._called(value)} ({number} px)" for value, number in unknown[:NUM_NAMED])
            more = f" and {len(unknown) - NUM_NAMED} more" if len(unknown) > NUM_NAMED else ""
            raise AnnotationError("unknown-class-value", f"{self.source} has no class for {named}{more}")
        labels = np.array([1 + self.index_of[int(value)] for value in present], np.uint8)
        return labels[inverse].reshape(values.shape)

    def _values(self, file: Path) -> np.ndarray:
        if not self.is_by_color:
            return read_values(file)
        return rgb_to_ids(np.asarray(open_mask(file).convert("RGB")))

    def _called(self, value: int) -> str:
        if not self.is_by_color:
            return f"the value {value}"
        return f"the colour {value & 255} {value >> 8 & 255} {value >> 16}"


def by_number(names: Mapping[int, str], source: str) -> ClassList:
    """Of classes by number; 255, and the number after the last, stand for no class unless they are named."""
    index_of, kept = _without_void(names)
    for value in (max(names) + 1, VOID_LABEL):
        index_of.setdefault(value, -1)
    return ClassList(source, _checked(kept, source), index_of)


def by_color(colors: Mapping[tuple[int, int, int], str], source: str) -> ClassList:
    """Of classes by RGB colour."""
    index_of, kept = _without_void({r | g << 8 | b << 16: name for (r, g, b), name in colors.items()})
    return ClassList(source, _checked(kept, source), index_of, is_by_color=True)


def read_class_list(file: Path) -> ClassList:
    """A text file with a line for each class: its name (of 0, 1, ...), NUMBER NAME, R G B NAME, or NAME R G B.

    Blank lines, lines that begin with # and a header are passed over. Classes called as in `VOID_NAMES` count nowhere.

    Raises:
        ValueError: a line that looks otherwise than the others, no class, too many, or two of one number or name.
    """
    lines = [(n, line.strip()) for n, line in enumerate(read_lines(file), start=1) if line.strip()]
    lines = [(n, line) for n, line in lines if not line.startswith("#")]
    if lines and _HEADER.fullmatch(lines[0][1]):
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{file}: expected a line for each class, got none")
    form = next(name for name, pattern in _FORMS.items() if pattern.fullmatch(lines[0][1]))
    rows = []
    for n, line in lines:
        match = _FORMS[form].fullmatch(line)
        if match is None:
            raise ValueError(f"{file}: line {n}: expected {form} as in the lines before, got {excerpt(line)}")
        rows.append((n, match.groupdict()))
    keys: dict[object, str] = {}
    for place, (n, row) in enumerate(rows):
        if "r" in row:
            key: object = tuple(int(row[channel]) for channel in "rgb")
            if max(int(row[channel]) for channel in "rgb") > 255:
                raise ValueError(f"{file}: line {n}: expected a colour of numbers up to 255, got {key}")
        else:
            key = int(row["number"]) if "number" in row else place
        if key in keys:
            raise ValueError(f"{file}: line {n}: {key} is {excerpt(keys[key])} already")
        keys[key] = row["name"].strip().strip("\"'")
    make = by_color if "r" in rows[0][1] else by_number
    return make(keys, str(file))  # pyright: ignore[reportArgumentType]


def _without_void(names: Mapping[int, str]) -> tuple[dict[int, int], list[str]]:
    """The class of each value, -1 for void, and the names of the classes; one name twice is one class."""
    kept = list(dict.fromkeys(name for name in names.values() if name.casefold() not in VOID_NAMES))
    place = {name: k for k, name in enumerate(kept)}
    return {value: place.get(name, -1) for value, name in names.items()}, kept


def _checked(names: list[str], source: str) -> tuple[str, ...]:
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"{source}: expected 1 to {MAX_CLASSES} classes, got {len(names)}")
    return tuple(names)
