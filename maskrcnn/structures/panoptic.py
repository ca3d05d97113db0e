"""One scene without gaps between its parts: every pixel belongs to one segment, a thing or a kind of stuff, or to none.

H W of the picture, S segments. Paper: arXiv:1801.00868.
"""

from dataclasses import dataclass

import numpy as np

from maskrcnn.structures.semantic_map import SemanticMap, index_type

VOID = 0
"""Segment id of pixels that belong to none."""
MAX_ID = (1 << 24) - 1
"""That three bytes of a PNG hold."""


@dataclass(frozen=True)
class Segment:
    """One thing, or all pixels of one kind of stuff."""

    id: int
    """Of its pixels, 1 or more; no other segment of the scene has it."""
    label: int
    """Of a thing an index into `thing_names`, of stuff into `stuff_names`."""
    is_thing: bool
    area: int
    """Its pixels, so many that it has one at least."""
    score: float | None = None
    """Of a thing that was detected, 0..1."""
    instance: int | None = None
    """Index of the detection that it is, in the `Instances` that the scene was made of."""


@dataclass(frozen=True, eq=False, repr=False)
class Panoptic:
    """A scene.

    Raises ValueError for ids that are no (H, W) int32, and for segments that share an id, have a label without a name,
    or an id that a PNG cannot hold.
    """

    ids: np.ndarray
    """(H, W) int32: of the segment that each pixel belongs to; 0 where it belongs to none."""
    segments: tuple[Segment, ...]
    thing_names: tuple[str, ...]
    stuff_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ids.dtype != np.int32:
            raise ValueError(f"expected segment ids (H, W) of int32, got {self.ids.shape} of {self.ids.dtype}")
        numbers = [segment.id for segment in self.segments]
        if len(set(numbers)) != len(numbers):
            twice = next(number for number in numbers if numbers.count(number) > 1)
            raise ValueError(f"expected one segment for each id, got several for {twice}")
        for segment in self.segments:
            if not VOID < segment.id <= MAX_ID:
                raise ValueError(f"expected segment ids of 1 to {MAX_ID}, got {segment.id}")
            names = self.thing_names if segment.is_thing else self.stuff_names
            if not 0 <= segment.label < len(names):
                kind = "things" if segment.is_thing else "stuff"
                raise ValueError(
                    f"expected labels of {kind} below {len(names)}, segment {segment.id} has {segment.label}"
                )

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.ids.shape[0], self.ids.shape[1]

    def name_of(self, segment: Segment) -> str:
        """The class of one of its segments."""
        return (self.thing_names if segment.is_thing else self.stuff_names)[segment.label]

    def mask(self, segment: Segment) -> np.ndarray:
        """Its pixels, bool (H, W)."""
        return self.ids == segment.id

    def counts(self) -> dict[str, int]:
        """Number of things of every class, in the order of `thing_names`."""
        numbers = np.bincount([s.label for s in self.segments if s.is_thing], minlength=len(self.thing_names))
        return dict(zip(self.thing_names, numbers.tolist(), strict=True))

    def stuff_shares(self) -> dict[str, float]:
        """Share of the picture, 0..1, that each kind of stuff covers, in the order of `stuff_names`."""
        areas = np.zeros(len(self.stuff_names))
        for segment in self.segments:
            if not segment.is_thing:
                areas[segment.label] += segment.area
        return dict(zip(self.stuff_names, (areas / max(self.ids.size, 1)).tolist(), strict=True))

    def semantic_map(self) -> SemanticMap:
        """The class of every pixel: things, then stuff; a class of both kinds is in it once. Void stays void."""
        names = tuple(dict.fromkeys((*self.thing_names, *self.stuff_names)))
        dtype = index_type(len(names))
        place = np.full(max(int(self.ids.max(initial=0)), 0) + 1, np.iinfo(dtype).max, dtype)
        for segment in self.segments:
            if segment.id < len(place):
                place[segment.id] = names.index(self.name_of(segment))
        return SemanticMap(place[self.ids], names)

    def __repr__(self) -> str:
        """Such as "Panoptic(2 things: 1 cat, 1 dog; stuff: grass, sky; image 480 x 640)"."""
        counts = {name: n for name, n in self.counts().items() if n}
        things = f"{sum(counts.values())} thing{'s' * (sum(counts.values()) != 1)}"
        things += f": {', '.join(f'{n} {name}' for name, n in counts.items())}" * bool(counts)
        stuff = ", ".join(name for name, share in self.stuff_shares().items() if share) or "none"
        return f"Panoptic({things}; stuff: {stuff}; image {self.ids.shape[0]} x {self.ids.shape[1]})"


def ids_to_rgb(ids: np.ndarray) -> np.ndarray:
    """COCO's picture of segment ids (H, W), RGB uint8 (H, W, 3): id = R + 256 G + 65536 B.

    Raises:
        ValueError: an id below 0 or above `MAX_ID`.
    """
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= MAX_ID:
        raise ValueError(f"expected segment ids of 0 to {MAX_ID}, got {int(ids.min())} to {int(ids.max())}")
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def rgb_to_ids(rgb: np.ndarray) -> np.ndarray:
    """The inverse of `ids_to_rgb`: int32 (H, W)."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return red | green << 8 | blue << 16


def areas_of(ids: np.ndarray) -> dict[int, int]:
    """Pixels of each segment id in (H, W) but `VOID`, ascending."""
    numbers, areas = np.unique(ids, return_counts=True)
    return {int(number): int(area) for number, area in zip(numbers, areas, strict=True) if number != VOID}
