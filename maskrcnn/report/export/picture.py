"""What every format is written from: the objects of one picture, whether a job just found them or a file held them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from maskrcnn.structures.polygons import Polygon, rle_to_polygons
from maskrcnn.structures.rle import Rle, crop, rle_area
from maskrcnn.untrusted.names import printable, utf8

MAX_PART = 100
"""Letters of one folder or file in a name; file systems take 255 bytes."""
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


@dataclass(frozen=True)
class FoundObject:
    """One object."""

    class_name: str
    rle: Rle
    """COCO compressed RLE of its pixels, one or more."""
    box: tuple[float, float, float, float]
    """x0 y0 x1 y1, px."""
    score: float | None = None
    """0..1; None where nobody says one, as of what a person drew."""
    smooth: list[Polygon] | None = None
    """Its outline between the pixels, where that is known and wanted."""
    track: int | None = None
    """The number that it has in every picture of a film."""
    number: int | None = None
    """In its picture, from 1, as drawings and measurements.csv have it; None takes its place among `objects`."""

    @cached_property
    def outline(self) -> list[Polygon]:
        """Parts with their holes: the smooth outline where there is one, or else the edges of its pixels."""
        return self.smooth if self.smooth is not None else rle_to_polygons(self.rle)

    @property
    def is_one_ring(self) -> bool:
        """Whether it is of one part and has no hole."""
        return len(self.outline) == 1 and not self.outline[0]["holes"]

    @cached_property
    def crop(self) -> tuple[int, int, np.ndarray]:
        """(x0, y0, bool bitmap (h, w)) only as large as the object."""
        return crop(self.rle)

    @cached_property
    def area(self) -> int:
        """Pixels."""
        return rle_area(self.rle)


@dataclass(frozen=True)
class GeoReference:
    """Where a picture lies on a map."""

    affine: tuple[float, float, float, float, float, float]
    """a b c d e f of x = a col + b row + c, y = d col + e row + f, where col and row are 0 at the outer corner of the
    first pixel."""
    epsg: int | None = None
    """Number of the coordinate system, where the file says one."""


@dataclass(frozen=True)
class FoundPicture:
    """One picture and its objects."""

    file_name: str
    """As tables and COCO name it, with forward slashes."""
    stem: str
    """What its files are called: see `stems`."""
    size: tuple[int, int]
    """(height, width)."""
    objects: Sequence[FoundObject]
    page: int | None = None
    """Of a file of several pictures, from 0."""
    pixels: Callable[[], np.ndarray] | None = None
    """Reads it, RGB uint8 (H, W, 3), where its file is at hand."""
    geo: GeoReference | None = None
    num_empty: int = 0
    """Objects without a pixel, which are left out of `objects`."""

    @property
    def numbered(self) -> list[tuple[int, FoundObject]]:
        """Each object with its number."""
        return [(found.number or i, found) for i, found in enumerate(self.objects, start=1)]


def stems(pictures: Sequence[tuple[str, int | None]]) -> list[str]:
    """A name for the files of each (file name, page): its path without extension; no two are equal in any case.

    None leads out of the folder that it is put into, and none has what a file system may refuse.
    """
    plain = [_safe(PurePosixPath(utf8(name).replace("\\", "/")).with_suffix(""), page) for name, page in pictures]
    longer = [
        _safe(PurePosixPath(f"{utf8(name)}".replace("\\", "/").replace(".", "_")), page) for name, page in pictures
    ]
    used = Counter(stem.lower() for pair in zip(plain, longer, strict=True) for stem in set(pair))
    chosen: list[str] = []
    taken: set[str] = set()
    for short, long in zip(plain, longer, strict=True):
        stem = next((stem for stem in (short, long) if used[stem.lower()] == 1), long)
        number = 2
        while stem.lower() in taken:
            stem, number = f"{long}_{number}", number + 1
        taken.add(stem.lower())
        chosen.append(stem)
    return chosen


def _safe(path: PurePosixPath, page: int | None) -> str:
    parts = [part for part in path.parts if part not in ("/", ".", "..")] or ["picture"]
    if page is not None:
        parts[-1] = f"{parts[-1]}_page{page}"
    return "/".join(safe_name(part) for part in parts)


def safe_name(text: str) -> str:
    """`text` as the name of one file on any system."""
    name = _NOT_IN_NAMES.sub("_", printable(text))[:MAX_PART].strip(" .") or "_"
    return f"_{name}" if _DEVICES.fullmatch(name) else name
