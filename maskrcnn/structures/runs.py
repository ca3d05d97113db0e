"""The masks of one image as runs of pixels down its columns: what pasting makes, and every other form is made from.

N masks; R runs, those of all masks end to end. Pixel (x, y) has the flat index x * height + y.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maskrcnn.structures.rle import Rle, boundaries_to_rles, fill_columns


@dataclass(frozen=True, eq=False)
class Runs:
    """Masks at a cost of a few numbers for each column that they set pixels in, however large the image is."""

    boundaries: np.ndarray
    """(2 R,) int32 or int64 flat indices: start, stop, start, ... rising within a mask, each run inside one column."""
    num_runs: np.ndarray
    """(N,) int64: how many of them belong to each mask."""
    image_size: tuple[int, int]
    """(height, width)."""

    def rles(self) -> list[Rle]:
        """The masks as COCO compressed RLE."""
        return boundaries_to_rles(self.boundaries, 2 * self.num_runs, self.image_size)

    def areas(self) -> np.ndarray:
        """Pixels of each mask, int64 (N,)."""
        before = np.concatenate(([0], np.cumsum(self.boundaries[1::2] - self.boundaries[::2], dtype=np.int64)))
        return np.diff(before[self._offsets])

    def windows(self) -> np.ndarray:
        """The smallest windows x0 y0 x1 y1 (x1, y1 exclusive) that hold every pixel set, int64 (N, 4); 0 if none is."""
        windows = np.zeros((len(self.num_runs), 4), np.int64)
        is_filled = self.num_runs > 0
        if is_filled.any():
            first, last = self._offsets[:-1][is_filled], self._offsets[1:][is_filled] - 1
            x, top = np.divmod(self.boundaries[::2], self.image_size[0])
            bottom = top + self.boundaries[1::2] - self.boundaries[::2]
            edges = (x[first], np.minimum.reduceat(top, first), x[last] + 1, np.maximum.reduceat(bottom, first))
            windows[is_filled] = np.stack(edges, axis=1)
        return windows

    def crops(self) -> list[tuple[int, int, np.ndarray]]:
        """For each mask (x0, y0, bool bitmap (h, w)), only as large as the object; an empty mask has shape (0, 0)."""
        windows = self.windows()
        h = windows[:, 3] - windows[:, 1]
        # Where each run begins and ends in the bitmap of its mask, which is read column by column too.
        x, y = np.divmod(self.boundaries[::2], self.image_size[0])
        edges = np.empty(len(self.boundaries), np.int64)
        edges[::2] = x * np.repeat(h, self.num_runs) + y - np.repeat(windows[:, 0] * h + windows[:, 1], self.num_runs)
        edges[1::2] = edges[::2] + self.boundaries[1::2] - self.boundaries[::2]
        parts = np.split(edges, 2 * self._offsets[1:-1]) if len(h) else []
        return [
            (x0, y0, fill_columns(np.diff(part, prepend=0, append=(x1 - x0) * (y1 - y0)), y1 - y0, x1 - x0))
            for (x0, y0, x1, y1), part in zip(windows.tolist(), parts, strict=True)
        ]

    def __getitem__(self, rows: np.ndarray) -> "Runs":
        """The masks `rows`: indices or a bool mask."""
        rows = np.arange(len(self.num_runs))[rows]
        first, num = self._offsets[:-1][rows], self.num_runs[rows]
        runs = np.repeat(first - np.concatenate(([0], np.cumsum(num[:-1]))), num) + np.arange(num.sum())
        return Runs(self.boundaries.reshape(-1, 2)[runs].reshape(-1), num, self.image_size)

    def moved(self, x0: int, y0: int, image_size: tuple[int, int]) -> "Runs":
        """The masks in an image of `image_size` (height, width) whose pixel (x0, y0) is this one's first pixel.

        Raises:
            ValueError: this image does not lie inside that one.
        """
        (h, w), (height, width) = self.image_size, image_size
        if not (0 <= x0 <= width - w and 0 <= y0 <= height - h):
            raise ValueError(f"expected a window inside the {height} x {width} image, got {h} x {w} at ({x0}, {y0})")
        starts, stops = self.boundaries[::2].astype(np.int64), self.boundaries[1::2].astype(np.int64)
        x, y = np.divmod(starts, max(h, 1))
        moved = np.empty(len(self.boundaries), np.int64)
        moved[::2] = (x + x0) * height + y + y0
        moved[1::2] = moved[::2] + stops - starts
        return Runs(moved, self.num_runs, image_size)

    def within(self, x0: int, y0: int, image_size: tuple[int, int]) -> "Runs":
        """The masks in a window of `image_size` (height, width) that holds all of them and begins at pixel (x0, y0).

        The inverse of `moved`.

        Raises:
            ValueError: a mask reaches out of the window.
        """
        windows = self.windows()[self.num_runs > 0]
        height, width = image_size
        if len(windows) and ((windows[:, :2] < (x0, y0)).any() or (windows[:, 2:] > (x0 + width, y0 + height)).any()):
            raise ValueError(f"expected masks inside a {height} x {width} window at ({x0}, {y0})")
        starts = self.boundaries[::2].astype(np.int64)
        x, y = np.divmod(starts, max(self.image_size[0], 1))
        inside = np.empty(len(self.boundaries), np.int64)
        inside[::2] = (x - x0) * height + y - y0
        inside[1::2] = inside[::2] + self.boundaries[1::2] - starts
        return Runs(inside, self.num_runs, image_size)

    @classmethod
    def of_crops(cls, crops: Sequence[tuple[int, int, np.ndarray]], image_size: tuple[int, int]) -> "Runs":
        """The inverse of `crops`: of each (x0, y0, bool bitmap (h, w)) the runs in an image of `image_size`."""
        height = image_size[0]
        parts = [np.zeros(0, np.int64)]
        for x0, y0, bitmap in crops:
            framed = np.zeros((bitmap.shape[1], bitmap.shape[0] + 2), bool)  # 0s close every run inside its own column
            framed[:, 1:-1] = bitmap.T
            x, y = np.nonzero(framed[:, 1:] != framed[:, :-1])
            parts.append((x + x0) * height + y + y0)
        num = np.array([len(part) // 2 for part in parts[1:]], np.int64)
        return cls(np.concatenate(parts), num, image_size)

    @classmethod
    def concatenate(cls, parts: Sequence["Runs"]) -> "Runs":
        """The masks of one or more `parts` of the same image, one part after the other."""
        return cls(
            np.concatenate([part.boundaries for part in parts]),
            np.concatenate([part.num_runs for part in parts]),
            parts[0].image_size,
        )

    @cached_property
    def _offsets(self) -> np.ndarray:
        return np.concatenate(([0], np.cumsum(self.num_runs)))
