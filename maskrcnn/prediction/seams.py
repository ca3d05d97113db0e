"""What tiles found becomes what is in the picture: every object once, wherever the seams lie.

Objects that several tiles see whole are matched one to one by their masks in the part that the tiles share, and one of
them stays: that of the tile that sees most around it. A part that a seam cut off goes with the mask that covers it in
the neighbour's tile; an object that no tile sees whole is joined from its parts. What one tile alone found counts if
that tile owns the object's middle or the owner cannot see the object whole. No score is compared, so that an object
never hides its neighbour.

Letters: D detections near a seam.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
import torch

from maskrcnn.data.slides.source import Window
from maskrcnn.prediction.tiles import Grid, Tile
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs

EDGE_PX = 3
"""A mask that comes this near to a seam is taken as cut by it: the network's outlines are not more exact."""
SAME = 0.25
"""Least IoU, in the part that both tiles see, of two whole masks of one object: two outlines of a small nucleus that
are 2 px off. The best pairs are taken first, so that touching neighbours are no danger."""
GROWN_PX = 3
COVERED = 0.5
CERTAIN = 0.6
CORE = np.ones((7, 7), np.uint8)
THIN = np.ones((15, 15), np.uint8)
"""Share of a cut part that the mask in the neighbour's tile covers."""


@dataclass(eq=False)
class _Part:
    """A detection that a neighbouring tile may have seen too."""

    tile: Tile
    found: Instances
    """Of its tile, in the picture's frame."""
    row: int
    x0: int
    y0: int
    bitmap: np.ndarray
    is_cut: bool
    """It reaches a side of its tile beyond which the picture goes on."""
    group: "_Group" = field(init=False)

    def __post_init__(self) -> None:
        self.group = _Group([self], set() if self.is_cut else {self.tile})

    @cached_property
    def is_thin(self) -> bool:
        """Nowhere as thick as an outline may be off."""
        return not cv2.erode(self.bitmap.astype(np.uint8), THIN, borderValue=0).any()

    @property
    def label(self) -> int:
        return int(self.found.labels[self.row])

    @property
    def window(self) -> Window:
        return self.y0, self.x0, self.y0 + self.bitmap.shape[0], self.x0 + self.bitmap.shape[1]

    def inside(self, window: Window) -> np.ndarray:
        """The pixels of the mask in a window, (height, width) of the window cut to the mask's own."""
        y0, x0, y1, x1 = _shared(self.window, window)
        return self.bitmap[max(y0 - self.y0, 0) : max(y1 - self.y0, 0), max(x0 - self.x0, 0) : max(x1 - self.x0, 0)]


@dataclass(eq=False)
class _Group:
    """Detections of one object."""

    parts: list[_Part]
    whole_in: set[Tile]
    """Tiles that see it whole."""


def join_tiles(grid: Grid, results: Iterable[tuple[Tile, Instances]]) -> Iterator[Instances]:
    """The objects of the picture, from what was found in every tile of `grid`, row by row, each in its tile's frame.

    Gives instances in the frame of the picture, a few at a time, as soon as no tile to come can change them; only those
    near the seams of two rows of tiles are kept meanwhile. The extra field `num_parts` (N,) says from how many cut
    parts an object was joined; 1 is an object that one tile saw whole.

    Raises:
        ValueError: tiles that are missing or out of order.
    """
    rows: dict[int, dict[int, list[_Part]]] = {}  # row, column: of the current row and the one above
    for number, (tile, found) in enumerate(results):
        if tile != grid[number]:
            raise ValueError(f"expected the result of tile {number}, {grid[number]}, got that of {tile}")
        y0, x0, _, _ = tile.window
        moved = _moved(found, x0, y0, grid.image_size)
        near, parts = _near_seams(grid, tile, moved)
        yield _with_parts(moved[torch.from_numpy(~near & _is_own(grid, tile, moved))], 1)
        for row, column in ((tile.row, -1), (tile.row - 1, -1), (tile.row - 1, 0), (tile.row - 1, 1)):
            neighbour = rows.get(row, {}).get(tile.column + column, [])
            if neighbour:
                _match(neighbour, parts)
        rows.setdefault(tile.row, {})[tile.column] = parts
        if tile.column == grid.num_columns - 1:
            above = rows.pop(tile.row - 1, {})
            yield from _settled(grid, above, tile.row)
    for row in sorted(rows):
        yield from _settled(grid, rows[row], grid.num_rows)


def _moved(found: Instances, x0: int, y0: int, image_size: tuple[int, int]) -> Instances:
    shift = found.boxes.new_tensor([x0, y0, x0, y0])
    pixels = found.runs.moved(x0, y0, image_size)
    return replace(found, boxes=found.boxes + shift, image_size=image_size, pixels=pixels)


def _near_seams(grid: Grid, tile: Tile, found: Instances) -> tuple[np.ndarray, list[_Part]]:
    """Which detections reach into another tile's window, and these with their bitmaps."""
    if not len(found):
        return np.zeros(0, bool), []
    inner = _alone(grid, tile)
    windows = found.runs.windows()
    near = ((windows[:, :2] < [inner[1], inner[0]]) | (windows[:, 2:] > [inner[3], inner[2]])).any(axis=1)
    near &= windows[:, 2] > windows[:, 0]  # without a pixel it is in nobody's way
    chosen = np.flatnonzero(near)
    crops = found.runs[chosen].crops()
    others = [other for other in _neighbours(grid, tile) if other != tile]
    parts = []
    for row, crop in zip(chosen, crops, strict=True):
        y0, x0, x1, y1 = crop[1], crop[0], crop[0] + crop[2].shape[1], crop[1] + crop[2].shape[0]
        window = y0, x0, y1, x1
        is_cut = _room(grid, window, tile) < EDGE_PX
        # Another tile sees all of it, and what lies beyond the cut.
        is_seen_better = is_cut and any(_room(grid, window, other) > EDGE_PX for other in others)
        if not is_seen_better:
            parts.append(_Part(tile, found, int(row), *crop, is_cut))
    return near, parts


def _is_own(grid: Grid, tile: Tile, found: Instances) -> np.ndarray:
    """Which detections have a pixel, or else a box whose middle the tile owns.

    What the network finds just beyond a seam has a box that was cut down to nothing, and no pixel to match it by.
    """
    windows = found.runs.windows()
    own = windows[:, 2] > windows[:, 0]
    for row in np.flatnonzero(~own):
        x0, y0, x1, y1 = found.boxes[row].tolist()
        own[row] = grid.owner((y0 + y1) / 2, (x0 + x1) / 2) == (tile.row, tile.column)
    return own


def _neighbours(grid: Grid, tile: Tile) -> list[Tile]:
    """Tiles that share pixels with `tile`, itself too."""
    rows = range(max(tile.row - 1, 0), min(tile.row + 2, grid.num_rows))
    columns = range(max(tile.column - 1, 0), min(tile.column + 2, grid.num_columns))
    return [grid[row * grid.num_columns + column] for row in rows for column in columns]


def _alone(grid: Grid, tile: Tile) -> Window:
    """The part of a tile that no other tile sees."""
    y0, x0, y1, x1 = tile.window
    number = tile.row * grid.num_columns + tile.column
    if tile.row > 0:
        y0 = max(y0, grid[number - grid.num_columns].window[2])
    if tile.row < grid.num_rows - 1:
        y1 = min(y1, grid[number + grid.num_columns].window[0])
    if tile.column > 0:
        x0 = max(x0, grid[number - 1].window[3])
    if tile.column < grid.num_columns - 1:
        x1 = min(x1, grid[number + 1].window[1])
    return y0, x0, y1, x1


def _match(first: Sequence[_Part], second: Sequence[_Part]) -> None:
    """Put the detections of two tiles that are one object into one group."""
    if not (first and second):
        return
    shared = _shared(first[0].tile.window, second[0].tile.window)
    if shared[0] >= shared[2] or shared[1] >= shared[3]:
        return
    a, b = ([part for part in parts if part.inside(shared).any()] for parts in (first, second))
    cut_a, cut_b = (np.array([part.is_cut for part in parts], bool) for parts in (a, b))
    area_a, area_b = (np.array([part.inside(shared).sum() for part in parts]) for parts in (a, b))
    both, is_solid = np.zeros((len(a), len(b))), np.zeros((len(a), len(b)), bool)
    for i, j in _candidates(a, b):
        common = _common(a[i], b[j], shared)
        both[i, j], is_solid[i, j] = common.sum(), cv2.erode(common, CORE, borderValue=0).any()
    iou = both / np.maximum(area_a[:, None] + area_b[None] - both, 1)
    # What one tile sees whole and the other cannot is no whole one there.
    fits_a, fits_b = (np.array([part.is_cut or _fits(part, shared) for part in parts], bool) for parts in (a, b))
    any_cut = cut_a[:, None] | cut_b[None]
    may_be_one = any_cut | (fits_a[:, None] & fits_b[None])
    # Where a cut object has but a sliver in what both tiles see, an outline that is off may lie on its neighbour's.
    thin_a, thin_b = (np.array([part.is_cut and part.is_thin for part in parts], bool) for parts in (a, b))
    is_alike = ~any_cut | (thin_a[:, None] & thin_b[None])
    is_sure = is_alike | is_solid | (iou >= CERTAIN)
    pairs = _best_pairs(np.where(may_be_one & is_sure, iou, 0))
    # Outlines of small objects differ by more than they overlap: what is left, by masks a little larger.
    left_a, left_b = (np.setdiff1d(range(len(parts)), [pair[k] for pair in pairs]) for k, parts in enumerate((a, b)))
    grown_a, grown_b = ([_grown(parts[i]) for i in left] for parts, left in ((a, left_a), (b, left_b)))
    iou = np.zeros((len(grown_a), len(grown_b)))
    may_be_one &= is_alike & (~any_cut | (both > 0))
    for i, j in _candidates(grown_a, grown_b):
        if not may_be_one[left_a[i], left_b[j]]:
            continue
        num = _common(grown_a[i], grown_b[j], shared).sum()
        iou[i, j] = num / (grown_a[i].inside(shared).sum() + grown_b[j].inside(shared).sum() - num)
    pairs += [(int(left_a[i]), int(left_b[j])) for i, j in _best_pairs(iou)]
    # An object may be one piece in one tile and several in the other: a cut piece left over goes with what covers it.
    covered = np.where(is_solid, both, 0)
    for i in np.flatnonzero(cut_a & (covered.max(axis=1, initial=0) >= COVERED * area_a)).tolist():
        pairs += [(i, int(covered[i].argmax()))] * all(i != pair[0] for pair in pairs)
    for j in np.flatnonzero(cut_b & (covered.max(axis=0, initial=0) >= COVERED * area_b)).tolist():
        pairs += [(int(covered[:, j].argmax()), j)] * all(j != pair[1] for pair in pairs)
    for i, j in pairs:
        _unite(a[i], b[j])


def _best_pairs(iou: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of at least `SAME`, each row and column once, the highest first."""
    pairs: list[tuple[int, int]] = []
    rows, columns = set(range(iou.shape[0])), set(range(iou.shape[1]))
    for i, j in sorted(np.argwhere(iou >= SAME).tolist(), key=lambda pair: -iou[pair[0], pair[1]]):
        if i in rows and j in columns:
            rows.remove(i)
            columns.remove(j)
            pairs.append((i, j))
    return pairs


def _grown(part: _Part) -> _Part:
    """`part` with a mask that is `GROWN_PX` larger on every side."""
    around = np.pad(part.bitmap, GROWN_PX).astype(np.uint8)
    bitmap = cv2.dilate(around, np.ones((2 * GROWN_PX + 1, 2 * GROWN_PX + 1), np.uint8)).astype(bool)
    return _Part(part.tile, part.found, part.row, part.x0 - GROWN_PX, part.y0 - GROWN_PX, bitmap, part.is_cut)


def _candidates(a: Sequence[_Part], b: Sequence[_Part]) -> list[tuple[int, int]]:
    """Pairs of one class whose windows overlap."""
    if not (a and b):
        return []
    of_a, of_b = (np.array([part.window for part in parts]) for parts in (a, b))
    labels_a, labels_b = (np.array([part.label for part in parts]) for parts in (a, b))
    low = np.maximum(of_a[:, None, :2], of_b[None, :, :2])
    high = np.minimum(of_a[:, None, 2:], of_b[None, :, 2:])
    is_near = (high > low).all(axis=2) & (labels_a[:, None] == labels_b[None])
    return [(int(i), int(j)) for i, j in np.argwhere(is_near)]


def _fits(part: _Part, window: Window) -> bool:
    """Whether a mask lies in a window, but for what an outline may be off in either tile."""
    (y0, x0, y1, x1), (top, left, bottom, right) = part.window, window
    return min(y0 - top, x0 - left, bottom - y1, right - x1) >= -2 * EDGE_PX


def _common(a: _Part, b: _Part, shared: Window) -> np.ndarray:
    """Pixels of `shared` that both masks set, uint8."""
    window = _shared(_shared(a.window, b.window), shared)
    if window[0] >= window[2] or window[1] >= window[3]:
        return np.zeros((1, 1), np.uint8)
    return (a.inside(window) & b.inside(window)).astype(np.uint8)


def _room(grid: Grid, window: Window, tile: Tile) -> int:
    """Px between a window and the nearest seam of a tile; below 0 where it reaches out of the tile."""
    (y0, x0, y1, x1), (top, left, bottom, right) = window, tile.window
    height, width = grid.image_size
    far = height + width
    below, beside = bottom - y1 if bottom < height else far, right - x1 if right < width else far
    return min(y0 - top if top else far, x0 - left if left else far, below, beside)


def _unite(a: _Part, b: _Part) -> None:
    kept, gone = a.group, b.group
    if kept is gone or kept.whole_in & gone.whole_in:  # what one tile sees whole twice is two objects
        return
    kept.whole_in |= gone.whole_in
    kept.parts += gone.parts
    for part in gone.parts:
        part.group = kept


def _settled(grid: Grid, parts_of: dict[int, list[_Part]], next_row: int) -> Iterator[Instances]:
    """The objects of a row of tiles that reach into no row from `next_row` on.

    Those that do stay with the row below: they come with its parts.
    """
    seen: set[int] = set()
    for parts in parts_of.values():
        for part in parts:
            group = part.group
            if id(group) in seen or max(other.tile.row for other in group.parts) >= next_row:
                continue
            seen.add(id(group))
            settled = _object(grid, group)
            if settled is not None:
                yield settled


def _object(grid: Grid, group: _Group) -> Instances | None:
    """The object of a group, or None where another tile answers for it."""
    whole = [part for part in group.parts if not part.is_cut]
    if not whole:
        return _joined(group.parts)
    best = max(whole, key=lambda part: (_room(grid, part.window, part.tile), float(part.found.scores[part.row])))
    return _with_parts(best.found[best.row], 1) if _is_owned(grid, group, best) else None


def _is_owned(grid: Grid, group: _Group, best: _Part) -> bool:
    """Whether the tile that owns the object's middle found it, or could not see it whole."""
    y, x = np.nonzero(best.bitmap)
    row, column = grid.owner(best.y0 + y.mean() + 0.5, best.x0 + x.mean() + 0.5)
    if any((part.tile.row, part.tile.column) == (row, column) for part in group.parts):
        return True
    return _room(grid, best.window, grid[row * grid.num_columns + column]) < 3 * EDGE_PX


def _joined(parts: Sequence[_Part]) -> Instances:
    """One object with all pixels of its parts; class and score are those of the largest part."""
    windows = np.array([part.window for part in parts])
    (y0, x0), (y1, x1) = windows[:, :2].min(axis=0).tolist(), windows[:, 2:].max(axis=0).tolist()
    bitmap = np.zeros((y1 - y0, x1 - x0), bool)
    for part in parts:
        a, b, c, d = part.window
        bitmap[a - y0 : c - y0, b - x0 : d - x0] |= part.bitmap
    largest = max(parts, key=lambda part: int(part.bitmap.sum()))
    one = largest.found[largest.row]
    size = one.mask_probs.shape[-1]
    soft = one.mask_probs
    if size:  # else masks are known as pixels alone
        cells = torch.from_numpy(bitmap)[None, None].float()
        soft = torch.nn.functional.interpolate(cells, size=(size, size), mode="area")[0].to(soft.dtype)
    boxes = one.boxes.new_tensor([[x0, y0, x1, y1]])
    pixels = Runs.of_crops([(x0, y0, bitmap)], one.image_size)
    return _with_parts(replace(one, boxes=boxes, mask_probs=soft, pixels=pixels), len(parts))


def _with_parts(found: Instances, num: int) -> Instances:
    num_parts = torch.full((len(found),), num, dtype=torch.int64)
    if "num_parts" in found.extra:  # of a tile that was itself done in tiles
        num_parts = torch.maximum(num_parts, found.extra["num_parts"])
    return replace(found, extra={**found.extra, "num_parts": num_parts})


def _shared(a: Window, b: Window) -> Window:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
