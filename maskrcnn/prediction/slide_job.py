"""One slide of a job: its tiles through the network, its objects measured and written as they come, its overview drawn.

Nothing of a slide is held but a few windows, a few hundred objects, and its overview.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrcnn.data.pages import Slide
from maskrcnn.data.slides.source import Source, Window
from maskrcnn.distributed import is_first, rank, world_size
from maskrcnn.prediction.ahead import ahead
from maskrcnn.prediction.job_parts import PartsFile
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.prediction.tiling import joined_tiles, keep_tiles, limits_reached, notes_on
from maskrcnn.report.count import count
from maskrcnn.report.double_counts import double_counts
from maskrcnn.report.draw import draw_mask
from maskrcnn.report.measure import measure, touches_border
from maskrcnn.report.overview import OVERVIEW_PX, Overview
from maskrcnn.report.palette import palette_for
from maskrcnn.report.preview import SLIDE_SIDE_PX, Unsure, slide_preview
from maskrcnn.report.pyramid import write_pyramid
from maskrcnn.report.selection import Selection
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import crop

PART_OBJECTS = 256
"""Objects that are measured and written together, at most, but for those of one tile."""
PART_PIXELS = 16_000_000
"""Pixels of the window around them, at most; of a larger single object no intensities are measured."""
IN_ANNOTATION = ("id", "class", "score", "box_x0", "box_y0", "box_x1", "box_y1")
"""Columns of `measure` that are made from an annotation."""


@dataclass
class SlideFound:
    """What is known of a slide when all of it was seen."""

    parts: PartsFile
    tops: list[int]
    bottoms: list[int]
    """First row, and last row + 1, of the objects of each part."""
    counts: Counter[str]
    num_doubles: int
    ceilings: tuple[str, ...]
    notes: tuple[str, ...]
    overview: Overview | None
    preview: dict[str, Any] | None = None


def find_on_slide(
    predictor: Predictor,
    slide: Slide,
    labels: Tensor,
    selection: Selection,
    kept: TileFiles,
    folder: Path,
    is_drawn: bool,
    has_preview: bool,
) -> SlideFound:
    """Every object of a slide that is of one of `labels` and that `selection` takes, row by row of tiles.

    Args:
        folder: for temporary files.

    Raises:
        OSError: a file in `folder`, or a tile's result, cannot be written.
        ImageError: a window of the slide cannot be read.
    """
    source = slide.source
    tiling = predictor.tiling_of(source.size)
    reached = Counter[str]()
    side_px = OVERVIEW_PX if is_drawn else SLIDE_SIDE_PX
    overview = Overview(source.overview(side_px), source.size) if is_drawn or has_preview else None
    unsure = Unsure(source.size)
    columns = _columns(predictor, slide)
    found = SlideFound(PartsFile(folder), [], [], Counter(), 0, (), (), overview)
    num_found = num_joined = 0

    def chosen() -> Iterator[Instances]:
        nonlocal num_found, num_joined
        if tiling.max_detections is None:
            joined = joined_tiles(
                predictor.model,
                source,
                tiling,
                reached,
                batch_size=predictor.batch_size,
                kept=kept,
                is_shown=is_first(),
            )
        else:  # the best of all are known at the end
            best = predictor.in_tiles(source, kept=kept, is_shown=is_first())
            found.ceilings = best.ceilings
            by_place = np.lexsort((best.boxes[:, 0].numpy(), best.boxes[:, 1].numpy() // 512))
            joined = (best[by_place[i : i + 1]] for i in range(len(best)))
        for instances in joined:
            num_found += len(instances)
            num_joined += int((instances.extra["num_parts"] > 1).sum())
            yield selection(instances[torch.isin(instances.labels, labels)])

    ids = predictor.settings.category_ids or None
    try:
        with ThreadPoolExecutor(1) as pool:
            for part in ahead(partial(_measured, slide, columns, ids), _together(chosen()), pool, lambda: 1):
                found.counts.update(part.counts)
                found.num_doubles += part.num_doubles
                found.parts.add(part.annotations, part.measured)
                found.tops.append(part.rows[0])
                found.bottoms.append(part.rows[1])
                if overview is not None:
                    overview.add(part.instances)
                if has_preview:
                    unsure.add(part.instances)
        if overview is not None and has_preview:
            found.preview = slide_preview(*overview.shaded(), unsure.shown(source.window))
    except BaseException:
        found.parts.close()
        raise
    found.parts.columns = found.parts.columns or columns
    if tiling.max_detections is None:
        found.ceilings = limits_reached(tiling, reached, num_found)
    found.notes = notes_on(tiling, num_joined)
    return found


def share_tiles(predictor: Predictor, source: Source, kept: TileFiles) -> None:
    """Do this process's part of the tiles of a slide, and keep the results for the process that joins them all."""
    tiling = predictor.tiling_of(source.size)
    numbers = range(len(tiling.grid))[rank() :: world_size()]
    keep_tiles(predictor.model, source, tiling, numbers, kept, batch_size=predictor.batch_size, is_shown=is_first())


def draw_full(path: Path, slide: Slide, found: SlideFound, pixel_size_um: tuple[float, float] | None = None) -> None:
    """The slide at its full size with every object on it, as a pyramidal TIFF.

    Raises:
        OSError: it cannot be written.
    """
    source: Source = slide.source
    height, width = source.size
    colors = palette_for(source.overview(512)).tolist()
    crops: dict[int, list[tuple[int, int, np.ndarray]]] = {}

    def band(y0: int, y1: int) -> np.ndarray:
        canvas = np.ascontiguousarray(source.window((y0, 0, y1, width)))
        near = [i for i, (top, low) in enumerate(zip(found.tops, found.bottoms, strict=True)) if top < y1 and low > y0]
        for i in [i for i in crops if i not in near]:
            del crops[i]
        for i in near:
            if i not in crops:
                crops[i] = [crop(one["segmentation"]) for one in found.parts.part(i)]
            for j, (left, top, bitmap) in enumerate(crops[i]):
                if top < y1 and top + bitmap.shape[0] > y0:
                    draw_mask(canvas, left, top - y0, bitmap, tuple(colors[(i + j) % len(colors)]))
        return canvas

    write_pyramid(path, (height, width), band, pixel_size_um)


@dataclass(frozen=True)
class _Part:
    instances: Instances
    annotations: list[dict[str, Any]]
    measured: dict[str, list[int | float | None]]
    counts: dict[str, int]
    num_doubles: int
    rows: tuple[int, int]


def _together(found: Iterator[Instances]) -> Iterator[Instances]:
    """Objects that come one after the other, and lie near one another, as one."""
    waiting: list[Instances] = []
    num, around = 0, (0, 0, 0, 0)
    for instances in found:
        if not len(instances):
            continue
        own = _window(instances)
        joined = _around(around, own) if waiting else own
        if waiting and (num + len(instances) > PART_OBJECTS or _area(joined) > PART_PIXELS):
            yield Instances.concatenate(waiting)
            waiting, num, joined = [], 0, own
        waiting.append(instances)
        num, around = num + len(instances), joined
    if waiting:
        yield Instances.concatenate(waiting)


def _measured(slide: Slide, columns: Sequence[str], category_ids: Sequence[int] | None, instances: Instances) -> _Part:
    """Objects as they are written, measured in the smallest window around them."""
    y0, x0, y1, x1 = window = _window(instances)
    runs = instances.runs.within(x0, y0, (y1 - y0, x1 - x0))
    shift = instances.boxes.new_tensor([x0, y0, x0, y0])
    local = replace(instances, image_size=(y1 - y0, x1 - x0), boxes=instances.boxes - shift, pixels=runs)
    numbers = slide.source.numbers(window) if _area(window) <= PART_PIXELS else None
    table = dict(measure(local, numbers, channel_names=slide.channel_names if numbers is not None else None).columns)
    table |= {
        "centroid_x": table["centroid_x"] + x0,
        "centroid_y": table["centroid_y"] + y0,
        "touches_border": touches_border(instances),
    }
    nothing: list[int | float | None] = [None] * len(instances)
    measured = {name: plain(table[name]) if name in table else nothing for name in columns}
    counts = {name: number for name, number in count(instances).items() if number}
    return _Part(instances, instances.to_coco(category_ids), measured, counts, len(double_counts(local)), (y0, y1))


def plain(values: np.ndarray) -> list[int | float | None]:
    """Numbers as JSON has them; None for what is not finite."""
    return [
        int(value) if isinstance(value, bool) else value if math.isfinite(value) else None for value in values.tolist()
    ]


def _columns(predictor: Predictor, slide: Slide) -> tuple[str, ...]:
    """Names of what is measured."""
    nothing = Instances.empty((1, 1), predictor.class_names)
    table = measure(nothing, slide.source.numbers((0, 0, 1, 1)), channel_names=slide.channel_names)
    return tuple(name for name in table if name not in IN_ANNOTATION)


def _window(instances: Instances) -> Window:
    """The smallest window around the pixels of objects; the first pixel where they have none."""
    windows = instances.runs.windows()[instances.runs.num_runs > 0]
    if not len(windows):
        return 0, 0, 1, 1
    (x0, y0), (x1, y1) = windows[:, :2].min(axis=0).tolist(), windows[:, 2:].max(axis=0).tolist()
    return y0, x0, y1, x1


def _around(a: Window, b: Window) -> Window:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _area(window: Window) -> int:
    return (window[2] - window[0]) * (window[3] - window[1])
