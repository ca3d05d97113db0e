"""Pictures larger than the network's input, in tiles that all go through it at one scale.

The network learned its objects at a size. A tile is therefore never brought to a size of its own: its pixels grow by
the factor by which the weights usually see a picture. What the tiles find is joined by `join_tiles`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import groupby
from typing import Literal, Protocol

import numpy as np
import torch
from tqdm import tqdm

from maskrcnn.data.slides.source import ArraySource, Source
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.preprocess import Resize
from maskrcnn.prediction.ahead import ahead
from maskrcnn.prediction.execution import release_freed_memory
from maskrcnn.prediction.seams import join_tiles
from maskrcnn.prediction.tiles import Grid, Tile
from maskrcnn.structures.instances import Instances

TileSize = int | Literal["auto", "off"]
"""Px of a tile's side in the picture; "auto" divides pictures that need it, "off" none."""
INPUT_PX = 1536
"""Side of a default tile at the network's input, at most: larger ones take more memory and are no faster."""
MAX_DETECTIONS = "detection.max_detections"
"""As sentences about limits name it."""
MOST_CELLS = 4
"""Cells of the network's maps after which tiles may begin."""
MIN_TILE_PX = 32
"""Side of the smallest tile that may be chosen."""
RELEASE_EVERY = 32
"""Batches of tiles after which freed memory is given back; that takes a tenth of a second."""
LEAST_INPUT_PX = 256
"""Side below which a tile that reached a limit is not divided again."""


class KeptTiles(Protocol):
    """Results of tiles that are done, for a picture that is gone on with after a kill."""

    def load(self, grid: Grid, number: int) -> Instances | None:
        """That of a tile, in its own frame; None where there is none."""
        ...

    def save(self, grid: Grid, number: int, found: Instances) -> None: ...


@dataclass(frozen=True)
class Tiling:
    """How one picture is divided."""

    grid: Grid
    scale: float
    """Px of the network's input for each px of the picture."""
    is_divided_further: bool
    """Whether a tile that reached a limit, such as that of detections, is done again in smaller ones."""
    max_detections: int | None = None
    """Of the whole picture; None keeps all that the tiles give."""

    def smaller(self, image_size: tuple[int, int]) -> "Tiling | None":
        """Tiles of about half the longer side of a picture (or tile) of that size; None where it is small enough."""
        side = max(image_size)
        if side * self.scale < 2 * LEAST_INPUT_PX:
            return None
        overlap = min(self.grid.overlap_px, side // 5)
        return replace(self, grid=Grid(image_size, -(-(side + overlap) // 2), overlap, self.grid.unit_px))


def choose_tiling(
    resize: Resize,
    largest_anchor: float,
    image_size: tuple[int, int],
    tile: TileSize = "auto",
    overlap_px: int | None = None,
    is_divided_further: bool = True,
    max_detections: int | None = None,
    stride: int = 1,
) -> Tiling:
    """The tiles of a picture of (height, width) `image_size`.

    By default they are seen as large as the picture would be without `resize.longest_edge` (in mode "square" with it,
    since there it is the rule), and have the side that fits the network's input. Tiles of a chosen size are seen as a
    square picture of that size is. They overlap by the longest side of an object that the anchors allow, or by a third
    of a tile if that is less. They begin where a cell of the network's maps does, so that an object which is away from
    the seams looks to the network as it does in its neighbour's tile, and in the whole picture.

    Args:
        largest_anchor: its longer side, px of the network's input.
        stride: the side of the largest cell, px of the network's input.

    Raises:
        ValueError: an overlap of more than a third of a tile.
    """
    if isinstance(tile, int):
        scale, tile_px = min(resize.factor((tile, tile)), resize.longest_edge / tile), tile
    else:
        scale = resize.factor(image_size)
        if resize.mode == "square":
            scale = min(scale, resize.longest_edge / max(image_size))
        tile_px = max(1, int(min(resize.longest_edge, INPUT_PX) / scale))
    chosen = min(math.ceil(largest_anchor / scale), tile_px // 3) if overlap_px is None else overlap_px
    return Tiling(Grid(image_size, tile_px, chosen, cell_px(stride, scale)), scale, is_divided_further, max_detections)


def cell_px(stride: int, scale: float) -> int:
    """The least number of px of a picture that are a whole number of cells, of `stride` px of the network's input.

    1 where it is no small number, as for most factors that bring a picture to a given size.
    """
    cells = Fraction(stride / scale).limit_denominator(MOST_CELLS)
    return cells.numerator if abs(float(cells) - stride / scale) < 1e-6 else 1


def find_in_tiles(
    model: MaskRCNN,
    image: np.ndarray | Source,
    tiling: Tiling,
    *,
    batch_size: int = 1,
    kept: KeptTiles | None = None,
    is_shown: bool = False,
) -> Instances:
    """Every object of a picture once, best score first, on the CPU; `extra["num_parts"]` says from how many parts.

    Args:
        image: RGB uint8 (H, W, 3), or a source, of which only windows are read.
        batch_size: tiles that go through the network together, but on a CPU.
        kept: takes the result of every tile, and gives those it has; masks are then known as pixels alone.
        is_shown: with a progress bar.
    """
    reached, limit = Counter[str](), tiling.max_detections
    found = Instances.concatenate(
        list(joined_tiles(model, image, tiling, reached, batch_size=batch_size, kept=kept, is_shown=is_shown))
    )
    found = found[found.scores.sort(descending=True, stable=True).indices]
    ceilings = limits_reached(tiling, reached, len(found))
    if limit is not None:
        found = found[:limit]
    return replace(found, ceilings=ceilings, notes=notes_on(tiling, int((found.extra["num_parts"] > 1).sum())))


def joined_tiles(
    model: MaskRCNN,
    image: np.ndarray | Source,
    tiling: Tiling,
    reached: Counter[str],
    *,
    batch_size: int = 1,
    kept: KeptTiles | None = None,
    is_shown: bool = False,
) -> Iterator[Instances]:
    """`find_in_tiles` a few objects at a time, row by row of tiles, so that those of a large slide are never held.

    Args:
        reached: takes the sentence of each limit that a tile reached, once for each.
    """
    with tqdm(total=len(tiling.grid), unit="tile", leave=False, disable=None if is_shown else True) as bar:

        def results() -> Iterator[tuple[Tile, Instances]]:
            for number, found in _each_tile(model, image, tiling, range(len(tiling.grid)), kept, batch_size):
                reached.update(found.ceilings)
                bar.update()
                yield tiling.grid[number], replace(found, ceilings=(), notes=())

        yield from join_tiles(tiling.grid, results())


def keep_tiles(
    model: MaskRCNN,
    image: np.ndarray | Source,
    tiling: Tiling,
    numbers: Sequence[int],
    kept: KeptTiles,
    *,
    batch_size: int = 1,
    is_shown: bool = False,
) -> None:
    """Do some tiles of a picture, and keep the results for whoever joins them."""
    with tqdm(total=len(numbers), unit="tile", leave=False, disable=None if is_shown else True) as bar:
        for _ in _each_tile(model, image, tiling, numbers, kept, batch_size):
            bar.update()


def limits_reached(tiling: Tiling, reached: Counter[str], num_found: int) -> tuple[str, ...]:
    """A sentence for each limit that tiles reached, and for that of the picture."""
    ceilings = [f"{sentence}, in {num} of {len(tiling.grid)} tiles" for sentence, num in reached.items()]
    limit = tiling.max_detections
    if limit is not None and num_found > limit:
        ceilings.append(f"more than {limit} detections, the best {limit} kept ({MAX_DETECTIONS})")
    return tuple(ceilings)


def unasked(ceilings: tuple[str, ...], max_detections: int | None) -> tuple[str, ...]:
    """The limits that a picture or tile reached, but for that of detections where somebody chose it."""
    return tuple(one for one in ceilings if max_detections is None or MAX_DETECTIONS not in one)


def notes_on(tiling: Tiling, num_joined: int) -> tuple[str, ...]:
    """How a picture was done in tiles, of which `num_joined` objects were joined from parts."""
    grid = tiling.grid
    y0, x0, y1, x1 = grid[0].window
    size = f"{x1 - x0} x {y1 - y0} px, which overlap by {grid.overlap_px} px or more"
    notes = [f"done in {len(grid)} tiles of {size}"] if len(grid) > 1 else []
    if num_joined:
        objects = "1 object was" if num_joined == 1 else f"{num_joined} objects were"
        notes.append(f"{objects} seen whole by no tile, and joined from parts")
    return tuple(notes)


def _each_tile(
    model: MaskRCNN,
    image: np.ndarray | Source,
    tiling: Tiling,
    numbers: Sequence[int],
    kept: KeptTiles | None,
    batch_size: int,
) -> Iterator[tuple[int, Instances]]:
    """What is in each of the tiles `numbers`, in its own frame; another thread reads the next ones meanwhile."""
    network = _Network(model, tiling.scale)
    source = ArraySource(image) if isinstance(image, np.ndarray) else image
    batch_size = 1 if model.device.type == "cpu" else batch_size

    def fetch(batch: Sequence[int]) -> dict[int, Instances | np.ndarray]:
        done = {number: kept.load(tiling.grid, number) if kept is not None else None for number in batch}
        return {
            number: source.window(tiling.grid[number].window) if found is None else found
            for number, found in done.items()
        }

    # Those at the right and lower side may be smaller, and only pictures of one size go through together.
    sizes = (list(same) for _, same in groupby(numbers, lambda number: tiling.grid[number].size))
    batches = [same[first : first + batch_size] for same in sizes for first in range(0, len(same), batch_size)]
    with ThreadPoolExecutor(1) as reader:
        for i, fetched in enumerate(ahead(fetch, batches, reader, lambda: 1), start=1):
            if i % RELEASE_EVERY == 0:
                release_freed_memory()
            todo = {number: pixels for number, pixels in fetched.items() if isinstance(pixels, np.ndarray)}
            results = dict(zip(todo, _finished(network, list(todo.values()), tiling), strict=True))
            for number, before in fetched.items():
                if isinstance(before, Instances):
                    yield number, before
                elif kept is None:
                    yield number, results[number]
                else:
                    compact = _compact(results[number])
                    kept.save(tiling.grid, number, compact)
                    yield number, compact


def _compact(found: Instances) -> Instances:
    """`found` with the pixels of its masks alone, which take a tenth of their probabilities' memory."""
    return replace(found, pixels=found.runs, mask_probs=found.mask_probs.new_zeros(len(found), 0, 0))


def _finished(network: "_Network", pixels: Sequence[np.ndarray], tiling: Tiling) -> list[Instances]:
    """What is in tiles of one size, each in its own frame."""
    results = []
    for crop, found in zip(pixels, network(pixels), strict=True):
        reached = unasked(found.ceilings, tiling.max_detections)
        results.append(_divided(network, crop, tiling, replace(found, ceilings=reached)))
    return results


@dataclass
class _Network:
    """What the network finds in pictures that are seen at `scale`."""

    model: MaskRCNN
    scale: float
    nothing: dict[tuple[int, ...], Instances] = field(default_factory=dict)
    """Results without an object, with the fields that the model's heads give, by the shape of the picture."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """Of pictures of one size. One of a single colour has no edge, so there is nothing to outline."""
        is_empty = [_is_of_one_colour(image) for image in images]
        is_known = [empty and image.shape in self.nothing for image, empty in zip(images, is_empty, strict=True)]
        found = iter(self._detect([image for image, known in zip(images, is_known, strict=True) if not known]))
        results = [None if known else next(found) for known in is_known]
        for i, image in enumerate(images):
            one = results[i]
            if is_empty[i] and one is not None:
                self.nothing[image.shape] = replace(one[:0], ceilings=())
        return [
            self.nothing[image.shape] if empty or one is None else one
            for image, empty, one in zip(images, is_empty, results, strict=True)
        ]

    def _detect(self, images: Sequence[np.ndarray]) -> list[Instances]:
        if not images:
            return []
        resize = replace(self.model.resize, mode="scale", scale=self.scale, longest_edge=10**9, upscale_only=False)
        with torch.inference_mode():
            sizes = [(image.shape[0], image.shape[1]) for image in images]
            inputs = self.model.normalise([resize(image) for image in images], sizes, self.model.device)
            found = self.model.detect(inputs)
        # Copies, made outside the inference mode, are tensors that autograd knows.
        return [one.to("cpu", copy=True) for one in found]


def _is_of_one_colour(image: np.ndarray) -> bool:
    return bool((image[0] == image[0, 0]).all() and (image == image[0, 0]).all())


def _divided(network: _Network, image: np.ndarray, tiling: Tiling, found: Instances) -> Instances:
    """`found` in `image`, or what smaller tiles find in it where a limit was reached; with `num_parts`."""
    is_again = tiling.is_divided_further and found.ceilings
    smaller = tiling.smaller((image.shape[0], image.shape[1])) if is_again else None
    if smaller is None:
        return replace(found, extra={**found.extra, "num_parts": torch.ones(len(found), dtype=torch.int64)})
    # Limits that the smallest ones reach are told; those that they do not reach are gone.
    ceilings: dict[str, None] = {}

    def results() -> Iterator[tuple[Tile, Instances]]:
        for number in range(len(smaller.grid)):
            y0, x0, y1, x1 = smaller.grid[number].window
            (one,) = _finished(network, [image[y0:y1, x0:x1]], smaller)
            ceilings.update(dict.fromkeys(one.ceilings))
            yield smaller.grid[number], replace(one, ceilings=())

    joined = Instances.concatenate(list(join_tiles(smaller.grid, results())))
    return replace(joined, ceilings=tuple(ceilings))
