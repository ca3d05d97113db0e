"""Slides of up to 10 gigapixels through a job, with perfect detections: is every object counted, and in what memory.

Each slide is a tiled TIFF made here: one tile of squares that repeats on a lattice of tiles, the others left out. In
place of the network bright patches are found, so that what is measured is the machinery: reading by windows, tiles,
seams, measurements, what is written. Each slide has a process of its own, whose largest memory is told.
"""

import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import tifffile
import torch

from benchmarks.table import markdown
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances

SIZES = ((2080, 2784), (4160, 5568), (9000, 12000), (100_000, 100_000))
"""(height, width)."""
TILE_PX = 512
EVERY = {100_000: 6}
"""Of how many tiles in each direction one is there, by height; of the others all."""
MAX_MB = 2000
BRIGHT = 1.0
"""In the network's input."""


def slides(sizes: tuple[tuple[int, int], ...] = SIZES) -> tuple[list[str], list[str]]:
    """The table of sizes, and problems: an object that was lost or doubled, memory beyond `MAX_MB`."""
    rows, problems = [], []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(1) as pool:
            true, counted, seconds, peak_mb = pool.apply(_counted, (Path(folder), size))
        name = f"{size[1]} x {size[0]}"
        rows.append([name, f"{true}", f"{counted}", f"{seconds:.0f}", f"{peak_mb:.0f}"])
        if counted != true:
            problems.append(f"slides: {name} has {true} objects, {counted} were counted")
        if peak_mb > MAX_MB:
            problems.append(f"slides: {name} takes {peak_mb:.0f} MB, more than {MAX_MB}")
    title = "## slides: tiled TIFFs with perfect detections, one process each"
    return [title, "", *markdown(["", "true", "counted", "wall, s", "peak, MB"], rows), ""], problems


def _counted(folder: Path, size: tuple[int, int]) -> tuple[int, int, float, float]:
    torch.set_num_threads(1)
    path = folder / "slide.tif"
    true = write_slide(path, size, EVERY.get(size[0], 1))
    predictor = Predictor(device="cpu")
    predictor.model.detect = _bright  # pyright: ignore[reportAttributeAccessIssue]
    started = time.perf_counter()
    summary = infer_files(predictor, [path], folder / "out", say=lambda line: None)
    seconds = time.perf_counter() - started
    scale = 1 if sys.platform == "darwin" else 1024
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
    return true, sum(summary.counts[0][1].values()), seconds, peak_mb


def write_slide(path: Path, size: tuple[int, int], every: int) -> int:
    """A sparse tiled BigTIFF, and how many objects are in it: squares, some across the sides of its tiles."""
    tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    places = range(20, TILE_PX - 60, 64)
    for y in places:
        for x in places:
            tile[y : y + 30, x : x + 30] = 230
    data = zlib.compress(tile.data)
    down, across = (-(-side // TILE_PX) for side in size)
    is_there = [(row, column) for row in range(0, down, every) for column in range(0, across, every)]

    def tiles() -> Iterator[bytes]:
        for row in range(down):
            for column in range(across):
                yield data if row % every == 0 and column % every == 0 else b""

    how = {"tile": (TILE_PX, TILE_PX), "photometric": "rgb", "compression": "zlib", "dtype": "uint8"}
    tifffile.imwrite(path, tiles(), shape=(*size, 3), bigtiff=True, **how)
    # Of tiles that the border cuts: a square of which a part is in the picture.
    seen = [[sum(start + at < side for at in places) for start in range(0, side, TILE_PX)] for side in size]
    return sum(seen[0][row] * seen[1][column] for row, column in is_there)


def _bright(images: ImageBatch) -> list[Instances]:
    """Every bright patch."""
    results = []
    for i, (h, w) in enumerate(images.sizes):
        bright = (images.pixels[i, 0, :h, :w].numpy() > BRIGHT).astype(np.uint8)
        num, _, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
        boxes = stats[1:, :4].astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        num -= 1
        results.append(
            Instances(
                image_size=images.original_sizes[i],
                boxes=images.to_original(torch.from_numpy(boxes), torch.full((num,), i), 0.0),
                labels=torch.zeros(num, dtype=torch.int64),
                scores=torch.ones(num),
                mask_probs=torch.ones(num, 28, 28),
                class_names=("nucleus",),
            )
        )
    return results
