"""Tiles with the real network: do they find what the network finds in the whole, and at what rate.

Annotated images are laid side by side at their own scale. First mosaics that fit the network's input are counted whole
and in tiles; then one that is a slide is counted by a job, beside the sum of its images counted alone. The weights are
the shipped ones.
"""

import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch

from benchmarks.table import markdown
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.reading import load_annotations
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.predictor import Predictor

WHOLE_PX = (720, 980)
"""(height, width) of mosaics that are seen whole."""
NUM_WHOLE = 6
TILE_PX = 512
SLIDE_PX = (9000, 12000)
FILLED = 0.9
"""Of the slide, about."""
MAX_ERROR = 0.003
MAX_SLIDE_ERROR = 0.01
TIFF_TILE_PX = 512

Placed = list[tuple[int, int, int]]
"""Index of an image, and y and x of its first pixel."""


def mosaics(annotations: Path, images: Path, slide: tuple[int, int] = SLIDE_PX) -> tuple[list[str], list[str]]:
    """The tables, and problems: counts in tiles that differ by more than `MAX_ERROR` or `MAX_SLIDE_ERROR`."""
    table = load_annotations(annotations, images)
    lines, problems = _whole_and_tiled(table)
    with get_context("spawn").Pool(1) as pool:  # whose largest memory is that of the slide
        row, worry = pool.apply(_slide, (annotations, images, slide))
    titles = ["", "sum of images alone", "counted", "error", "wall, s", "network, s", "network's share", "peak, MB"]
    return [*lines, *markdown(titles, [row]), ""], problems + worry


def _whole_and_tiled(table: Annotations) -> tuple[list[str], list[str]]:
    order = [i for i in _by_height(table, 1) if max(table.size(i)) <= min(WHOLE_PX)]
    whole, tiled = Predictor(device="cpu", tile="off"), Predictor(device="cpu", tile=TILE_PX)
    rows, totals = [], [0, 0]
    layouts = list(_layouts(table, order, WHOLE_PX))
    for number, placed in enumerate(layouts[:: -(-len(layouts) // NUM_WHOLE)]):
        image = _paint(table, placed, WHOLE_PX)
        counts = [len(whole(image)), len(tiled(image))]
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        rows.append([f"mosaic {number + 1}, {len(placed)} images", *map(str, counts), _error(*counts)])
    rows.append(["all", *map(str, totals), _error(*totals)])
    title = f"## mosaic: {WHOLE_PX[1]} x {WHOLE_PX[0]} px seen whole, and in tiles of {TILE_PX} px"
    is_off = abs(totals[1] - totals[0]) > MAX_ERROR * totals[0]
    problems = [f"mosaic: {totals[1]} objects in tiles, {totals[0]} in the whole"] * is_off
    return [title, "", *markdown(["", "whole", "tiled", "error"], rows), ""], problems


def _slide(annotations: Path, images: Path, size: tuple[int, int]) -> tuple[list[str], list[str]]:
    torch.set_num_threads(1)
    table = load_annotations(annotations, images)
    area = sum(math.prod(table.size(i)) for i in range(len(table)))
    placed = next(_layouts(table, _by_height(table, max(1, round(FILLED * math.prod(size) / area))), size))
    predictor = Predictor(device="cpu")
    alone = {i: len(predictor(table.load(i).image)) for i in {i for i, _, _ in placed}}
    expected = sum(alone[i] for i, _, _ in placed)
    timer = _Timed(predictor.model.detect)
    predictor.model.detect = timer  # pyright: ignore[reportAttributeAccessIssue]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosaic.tif"
        tiles = _tiles(table, placed, size)
        how: dict[str, Any] = {"tile": (TIFF_TILE_PX, TIFF_TILE_PX), "photometric": "rgb", "compression": "zlib"}
        tifffile.imwrite(path, tiles, shape=(*size, 3), dtype="uint8", **how)
        started = time.perf_counter()
        summary = infer_files(predictor, [path], Path(folder) / "out", say=lambda line: None)
        seconds = time.perf_counter() - started
    counted = sum(summary.counts[0][1].values())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    name = f"{size[1]} x {size[0]}, {len(placed)} images"
    row = [name, f"{expected}", f"{counted}", _error(expected, counted), f"{seconds:.0f}", f"{timer.seconds:.0f}"]
    is_off = abs(counted - expected) > MAX_SLIDE_ERROR * expected
    problems = [f"mosaic: {name}: {counted} objects, {expected} in the images alone"] * is_off
    return [*row, f"{timer.seconds / seconds:.0%}", f"{peak_mb:.0f}"], problems


class _Timed:
    """A function, and how long it took in all."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function, self.seconds = function, 0.0

    def __call__(self, images: Any) -> Any:
        started = time.perf_counter()
        found = self._function(images)
        self.seconds += time.perf_counter() - started
        return found


def _by_height(table: Annotations, times: int) -> list[int]:
    """Every image so many times, in an order that leaves little room between rows."""
    order = np.random.default_rng(0).permutation(len(table)).tolist() * times
    return sorted(order, key=table.size)


def _layouts(table: Annotations, order: Sequence[int], size: tuple[int, int]) -> Iterator[Placed]:
    """Rows of images, left to right and top to bottom; the next mosaic begins where one is full."""
    placed: Placed = []
    y = x = below = 0
    for i in order:
        height, width = table.size(i)
        if x + width > size[1]:
            y, x, below = below, 0, below
        if y + height > size[0]:
            if placed:
                yield placed
            placed, y, x, below = [], 0, 0, 0
        placed.append((i, y, x))
        x, below = x + width, max(below, y + height)
    if placed:
        yield placed


def _paint(table: Annotations, placed: Placed, size: tuple[int, int], top: int = 0) -> np.ndarray:
    """Rows from `top` on of a mosaic, black where no image is."""
    canvas = np.zeros((*size, 3), np.uint8)
    for i, y, x in placed:
        height, width = table.size(i)
        if y < top + size[0] and y + height > top:
            image = table.load(i).image[max(top - y, 0) : top + size[0] - y]
            start = max(y - top, 0)
            canvas[start : start + len(image), x : x + width] = image
    return canvas


def _tiles(table: Annotations, placed: Placed, size: tuple[int, int]) -> Iterator[np.ndarray]:
    for top in range(0, size[0], TIFF_TILE_PX):
        band = _paint(table, placed, (TIFF_TILE_PX, -(-size[1] // TIFF_TILE_PX) * TIFF_TILE_PX), top)
        for left in range(0, size[1], TIFF_TILE_PX):
            yield np.ascontiguousarray(band[:, left : left + TIFF_TILE_PX])


def _error(true: int, counted: int) -> str:
    return f"{(counted - true) / max(true, 1):+.2%}"
