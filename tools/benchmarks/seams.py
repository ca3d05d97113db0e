"""Tiles and their seams with perfect detections: how many objects the joining makes of those that are there.

The objects of annotated images are laid out as a mosaic. Every tile "detects" what lies in it, cut at its sides,
exactly or shifted by a few pixels. So whatever is lost or doubled is the joining's doing, and nobody else's.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask

from benchmarks.table import markdown
from maskrcnn.data.reading import load_annotations
from maskrcnn.prediction.seams import join_tiles
from maskrcnn.prediction.tiles import Grid, Tile
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import crop
from maskrcnn.structures.runs import Runs

SIZE = (2080, 2784)
TILES = ((256, 64), (512, 128), (1024, 181))
"""Side and overlap, px."""
JITTER_PX = 2
FOUND = 0.1
"""Least IoU of a result with the object that it is taken for."""

Crop = tuple[int, int, np.ndarray]
Counted = Callable[[Sequence[tuple[Tile, Instances]]], int]


def seams(annotations: Path) -> tuple[list[str], list[str]]:
    """The table of tiles, ours and its peers; and problems: an exact outline that was lost or doubled."""
    objects = mosaic(annotations, SIZE)
    rows, problems = [], []
    for tile, overlap in TILES:
        grid = Grid(SIZE, tile, overlap)
        for jitter in (0, JITTER_PX):
            found = detections(objects, grid, jitter)
            started = time.perf_counter()
            joined = Instances.concatenate(list(join_tiles(grid, found)))
            seconds = time.perf_counter() - started
            lost, doubled = judge(objects, joined)
            rows.append([f"{tile} px, overlap {overlap}, jitter {jitter} px", *_cells(len(objects), len(joined))])
            rows[-1] += [f"{lost}", f"{doubled}", f"{seconds:.2f}"]
            for name, count in PEERS.items():
                try:
                    num = count(found)
                except ImportError as error:
                    rows.append([f"  {name}: not installed ({error.name})", *[""] * 6])
                    continue
                rows.append([f"  {name}", *_cells(len(objects), num), "", "", ""])
            if jitter == 0 and (lost or doubled or len(joined) != len(objects)):
                problems.append(f"seams: tiles of {tile} px lose {lost} objects and double {doubled}")
    title = f"## seams: {len(objects)} objects in {SIZE[0]} x {SIZE[1]}, perfect detections in every tile"
    return [title, "", *markdown(["", "true", "tiled", "error", "lost", "doubled", "s"], rows), ""], problems


def mosaic(annotations: Path, size: tuple[int, int]) -> list[Crop]:
    """Objects of annotated images, drawn by chance and laid side by side; those that the border cuts are left out."""
    table, rng = load_annotations(annotations), np.random.default_rng(1)
    images = {record["id"]: record for record in table.coco["images"]}
    crops: dict[int, list[Crop]] = {number: [] for number in images}
    for one in table.coco["annotations"]:
        crops[one["image_id"]].append(crop(one["segmentation"]))
    chosen: list[Crop] = []
    y = 0
    while y < size[0]:
        x = row = 0
        while x < size[1]:
            record = images[list(images)[rng.integers(len(images))]]
            for left, top, bitmap in crops[record["id"]]:
                if bitmap.any() and x + left + bitmap.shape[1] <= size[1] and y + top + bitmap.shape[0] <= size[0]:
                    chosen.append((x + left, y + top, bitmap))
            x, row = x + record["width"], max(row, record["height"])
        y += row
    return chosen


def detections(objects: Sequence[Crop], grid: Grid, jitter: int) -> list[tuple[Tile, Instances]]:
    """What a perfect network finds in every tile; with outlines shifted by up to `jitter` px, each in each tile."""
    rng = np.random.default_rng(0)
    return [(grid[i], _in_tile(objects, grid[i], rng, jitter)) for i in range(len(grid))]


def _in_tile(objects: Sequence[Crop], tile: Tile, rng: np.random.Generator, jitter: int) -> Instances:
    y0, x0, y1, x1 = tile.window
    crops = []
    for x, y, bitmap in objects:
        part = _cut((x - x0, y - y0, bitmap), (y1 - y0, x1 - x0))
        if part is not None:
            dx, dy = rng.integers(-jitter, jitter + 1, 2).tolist() if jitter else (0, 0)
            part = _cut((part[0] + dx, part[1] + dy, part[2]), (y1 - y0, x1 - x0))
        if part is not None:
            crops.append(part)
    size, num = (y1 - y0, x1 - x0), len(crops)
    boxes = [[x, y, x + part.shape[1], y + part.shape[0]] for x, y, part in crops]
    return Instances(
        size,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(num, dtype=torch.int64),
        torch.from_numpy(rng.random(num, np.float32)),
        torch.ones(num, 4, 4),
        ("object",),
        pixels=Runs.of_crops(crops, size),
    )


def _cut(one: Crop, size: tuple[int, int]) -> Crop | None:
    x, y, bitmap = one
    part = bitmap[max(-y, 0) : max(size[0] - y, 0), max(-x, 0) : max(size[1] - x, 0)]
    return (max(x, 0), max(y, 0), part) if part.any() else None


def judge(objects: Sequence[Crop], joined: Instances) -> tuple[int, int]:
    """How many objects have no result, and how many more than one."""
    truth = Runs.of_crops(objects, joined.image_size).rles()
    if not truth or not len(joined):
        return len(truth), 0
    iou = np.asarray(coco_mask.iou(joined.rles(), truth, [0] * len(truth)))  # pyright: ignore[reportArgumentType]
    hits = np.bincount(iou.argmax(axis=1)[iou.max(axis=1) > FOUND], minlength=len(truth))
    return int((hits == 0).sum()), int((hits > 1).sum())


def _cells(true: int, counted: int) -> list[str]:
    return [f"{true}", f"{counted}", f"{(counted - true) / max(true, 1):+.2%}"]


def _all(found: Sequence[tuple[Tile, Instances]]) -> tuple[np.ndarray, np.ndarray]:
    boxes = [one.boxes.numpy() + np.tile([tile.window[1], tile.window[0]], 2) for tile, one in found]
    return np.concatenate(boxes).astype(np.float32), np.concatenate([one.scores.numpy() for _, one in found])


def _sahi(found: Sequence[tuple[Tile, Instances]]) -> int:
    from sahi.postprocess.combine import GreedyNMMPostprocess  # pyright: ignore[reportMissingImports]
    from sahi.prediction import ObjectPrediction  # pyright: ignore[reportMissingImports]

    boxes, scores = _all(found)
    ones = [
        ObjectPrediction(bbox=box, category_id=0, category_name="object", score=score, full_shape=list(SIZE))
        for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)
    ]
    return len(GreedyNMMPostprocess(match_threshold=0.5, match_metric="IOS")(ones))


def _supervision(found: Sequence[tuple[Tile, Instances]]) -> int:
    import supervision  # pyright: ignore[reportMissingImports]

    boxes, scores = _all(found)
    labels = np.zeros(len(boxes), int)
    return len(supervision.Detections(xyxy=boxes, confidence=scores, class_id=labels).with_nms(threshold=0.5))


PEERS: dict[str, Counted] = {"SAHI, greedy NMM of boxes": _sahi, "supervision, NMS of boxes": _supervision}
"""With the settings that they have by default in their slicers."""
