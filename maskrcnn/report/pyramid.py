"""A picture of any size as a pyramidal tiled TIFF, written band by band: what slide viewers open at once."""

import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from maskrcnn.files import atomic_path

TILE_PX = 512
SMALLEST_PX = 1024
"""The last level has sides of at most this."""
COMPRESSION_LEVEL = 3
"""Of Deflate, which every reader knows: lines and letters stay sharp."""
SOFTWARE = "maskrcnn"
"""Mark in the file, by which a later job knows it."""


def write_pyramid(
    path: str | Path,
    size: tuple[int, int],
    band: Callable[[int, int], np.ndarray],
    pixel_size_um: tuple[float, float] | None = None,
) -> None:
    """Write a BigTIFF with levels of half the size each; no more than a few bands are in memory.

    Args:
        size: (height, width).
        band: gives rows y0 to y1 of the picture, RGB uint8 (y1 - y0, width, 3); asked for from the top down.
        pixel_size_um: height and width of a pixel, written as its resolution.

    Raises:
        OSError: it cannot be written.
    """
    import tifffile  # takes 30 ms, and few pictures are slides

    sizes = [size]
    while max(sizes[-1]) > SMALLEST_PX:
        sizes.append((max(1, sizes[-1][0] // 2), max(1, sizes[-1][1] // 2)))
    with atomic_path(path) as temporary, tempfile.TemporaryFile(dir=Path(path).parent) as smaller:
        levels: list[_Level] = []
        for one in reversed(sizes[1:]):
            levels.insert(0, _Level(one, smaller, levels[0] if levels else None))
        options: dict[str, Any] = {
            "dtype": "uint8",
            "photometric": "rgb",
            "tile": (TILE_PX, TILE_PX),
            "compression": "zlib",
        }
        if pixel_size_um is not None:
            options |= {"resolution": [1e4 / side for side in reversed(pixel_size_um)], "resolutionunit": "CENTIMETER"}
        with tifffile.TiffWriter(temporary, bigtiff=True) as file:
            tiles = _largest(size, band, levels[0] if levels else None)
            shape = (*size, 3)
            file.write(tiles, shape=shape, subifds=len(levels), metadata=None, software=SOFTWARE, **options)
            for level in levels:
                options.pop("resolution", None)
                options.pop("resolutionunit", None)
                file.write(level.tiles(), shape=(*level.size, 3), subfiletype=1, metadata=None, **options)


def is_our_pyramid(path: Path) -> bool:
    """Whether a file was written by `write_pyramid`.

    Raises:
        OSError, ValueError: it cannot be read, or is no TIFF.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        return len(file.pages) > 0 and file.pages.first.software == SOFTWARE


class _Level:
    """A smaller picture, made while the next larger one is written; all levels keep their tiles in one file."""

    def __init__(self, size: tuple[int, int], file: IO[bytes], below: "_Level | None") -> None:
        self.size, self._file, self._below = size, file, below
        self._rows = np.empty((0, size[1], 3), np.uint8)
        self._num_done = 0
        self._places: list[tuple[int, int]] = []
        """Offset and bytes of each tile."""

    def add(self, larger: np.ndarray) -> None:
        """A band of the next larger picture, of an even number of rows unless it is the last."""
        height, width = larger.shape[0] // 2, self.size[1]
        height = min(max(height, 1), self.size[0] - self._num_done - len(self._rows))
        if height > 0:
            half = cv2.resize(
                larger[: max(2 * height, 1), : max(2 * width, 1)], (width, height), None, 0, 0, cv2.INTER_AREA
            )
            self._rows = np.concatenate([self._rows, half])
        while len(self._rows) >= TILE_PX or (len(self._rows) and self._num_done + len(self._rows) == self.size[0]):
            band, self._rows = self._rows[:TILE_PX], self._rows[TILE_PX:]
            self._num_done += len(band)
            self._file.seek(0, 2)
            for tile in _tiles(band):
                self._places.append((self._file.tell(), len(tile)))
                self._file.write(tile)
            if self._below is not None:
                self._below.add(band)

    def tiles(self) -> Iterator[bytes]:
        """Of the whole picture, when all bands were added."""
        for offset, num in self._places:
            self._file.seek(offset)
            yield self._file.read(num)


def _largest(size: tuple[int, int], band: Callable[[int, int], np.ndarray], below: _Level | None) -> Iterator[bytes]:
    for y0 in range(0, size[0], TILE_PX):
        rows = band(y0, min(y0 + TILE_PX, size[0]))
        if below is not None:
            below.add(rows)  # before its tiles: nobody asks for more after the last one
        yield from _tiles(rows)


def _tiles(band: np.ndarray) -> Iterator[bytes]:
    """Compressed tiles of a row of them, RGB uint8 (h, W, 3); what lies beyond the picture is black."""
    for x0 in range(0, band.shape[1], TILE_PX):
        part = band[:, x0 : x0 + TILE_PX]
        tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
        tile[: part.shape[0], : part.shape[1]] = part
        yield zlib.compress(tile.data, COMPRESSION_LEVEL)
