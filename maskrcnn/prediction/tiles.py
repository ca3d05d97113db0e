"""A picture cut into tiles that overlap: where each lies, and which one owns a place."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maskrcnn.data.slides.source import Window

WHOLE = 4
"""Tiles that begin at multiples have a side of a multiple of this, which grows by 1.5, say, to whole pixels."""


@dataclass(frozen=True)
class Tile:
    """One tile; `row` and `column` count from the top left."""

    row: int
    column: int
    window: Window
    """What the network sees."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        y0, x0, y1, x1 = self.window
        return y1 - y0, x1 - x0


@dataclass(frozen=True)
class Grid:
    """Tiles of one size, evenly spaced, at least `overlap_px` deep in one another and at most `tile_px` a side.

    They are made as small as their number allows, so that a tile reaches into its eight neighbours and no further. With
    `unit_px` they begin at multiples of it, where the tiles are large enough for that; the last of a row or column may
    then be a little smaller than the others.

    Raises:
        ValueError: an overlap below 0 or of more than a third of a tile.
    """

    image_size: tuple[int, int]
    """(height, width)."""
    tile_px: int
    overlap_px: int
    unit_px: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_px <= self.tile_px // 3:
            raise ValueError(
                f"expected an overlap of 0 to {self.tile_px // 3} px, a third of a tile, got {self.overlap_px} px"
            )

    @property
    def num_rows(self) -> int:
        return len(self._axes[0].starts)

    @property
    def num_columns(self) -> int:
        return len(self._axes[1].starts)

    def __len__(self) -> int:
        return self.num_rows * self.num_columns

    def __getitem__(self, number: int) -> Tile:
        """Tile `number`, counted row by row from 0."""
        if not 0 <= number < len(self):
            raise IndexError(f"expected a tile from 0 to {len(self) - 1}, got {number}")
        row, column = divmod(number, self.num_columns)
        (y0, y1), (x0, x1) = (
            (int(axis.starts[i]), int(axis.ends[i])) for axis, i in zip(self._axes, (row, column), strict=True)
        )
        return Tile(row, column, (y0, x0, y1, x1))

    def owner(self, y: float, x: float) -> tuple[int, int]:
        """(row, column) of the tile that owns a place: neighbours divide what both see in the middle."""
        row, column = (
            int(np.searchsorted(axis.cuts, place, side="right")) for axis, place in zip(self._axes, (y, x), strict=True)
        )
        return row, column

    def owned(self, tile: Tile) -> Window:
        """The part of the picture that a tile owns, (y0, x0, y1, x1): those of all tiles are the picture, once."""
        (y0, y1), (x0, x1) = (
            (
                round(axis.cuts[i - 1]) if i else 0,
                round(axis.cuts[i]) if i < len(axis.cuts) else side,
            )
            for axis, i, side in zip(self._axes, (tile.row, tile.column), self.image_size, strict=True)
        )
        return int(y0), int(x0), int(y1), int(x1)

    @cached_property
    def _axes(self) -> tuple["_Axis", "_Axis"]:
        y, x = (_divide(side, self.tile_px, self.overlap_px, self.unit_px) for side in self.image_size)
        return y, x


@dataclass(frozen=True)
class _Axis:
    """One direction."""

    starts: np.ndarray
    """First px of each tile."""
    ends: np.ndarray
    """Last px + 1."""
    cuts: np.ndarray
    """Where one tile hands over to the next: in the middle of what both see."""


def _divide(side: int, tile: int, overlap: int, unit: int) -> _Axis:
    least = max(1, -(-(side - overlap) // (tile - overlap)))
    if least == 1:
        return _Axis(np.zeros(1, np.int64), np.array([side]), np.zeros(0))
    # Starts at multiples may need an eighth more tiles; where those do not do, they are at any px.
    for num, step in (*((num, unit) for num in range(least, least + 1 + -(-least // 8))), (least, 1)):
        fewest = (side - overlap) * (num - 1) // (num * step)
        for last in (fewest, fewest + 1):
            starts = np.linspace(0, last, num).round().astype(np.int64) * step
            length = max(side - int(starts[-1]), int(np.diff(starts).max()) + overlap)
            length = min(-(-length // WHOLE) * WHOLE, tile) if step > 1 and length <= tile else length
            is_overlapped = side - starts[-1] >= overlap + 1
            if length <= tile and is_overlapped and (starts[2:] - starts[:-2] >= length).all():
                ends = np.minimum(starts + length, side)
                return _Axis(starts, ends, (ends[:-1] + starts[1:]) / 2)
    raise AssertionError("tiles that begin anywhere always fit")
