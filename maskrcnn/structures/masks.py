"""From mask probabilities in the frame of the box to run-length codes in the frame of the image.

N instances, M mask cells on a side; windows: the pixels that may be set; C their columns, end to end; S sampled rows of
a window; B run boundaries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maskrcnn.structures.rle import Rle
from maskrcnn.structures.runs import Runs

PasteMode = Literal["exact", "expand_to_integer", "integer"]

# Values alive at once: about 30 MB of working memory. Larger is no faster on a CPU.
_SAMPLES_AT_ONCE = 1 << 19

_PROBABILITY_THRESHOLD = 0.5


def masks_to_rles(mask_probs: Tensor, boxes: Tensor, image_size: tuple[int, int], mode: PasteMode) -> list[Rle]:
    """`masks_to_runs` as COCO compressed RLE, one for each mask."""
    return masks_to_runs(mask_probs, boxes, image_size, mode).rles()


@torch.no_grad()
def masks_to_runs(mask_probs: Tensor, boxes: Tensor, image_size: tuple[int, int], mode: PasteMode) -> Runs:
    """Paste N masks into an image of `image_size` (height, width) and return the runs of pixels they set.

    `mask_probs` (N, M, M), 0..1; `boxes` (N, 4) in pixels of that image. The mask, inside one ring of cells of value 0,
    is read bilinearly at the pixel centres:

    - "exact" (detectron2, mmdetection): the box is used as it is; set where the value is >= 0.5.
    - "expand_to_integer" (torchvision): mask and ring are resized to the box grown by (M + 2) / M and cut to integers;
      set where > 0.5.
    - "integer" (matterport): nothing outside the box, whose edges are whole numbers; values limited to the mask's own
      range; set where >= 0.5.

    A box that is empty, not finite or off the image gives an empty mask. Raises ValueError for shapes that do not fit.
    """
    if mode not in get_args(PasteMode):
        raise ValueError(f"expected a paste mode out of {', '.join(get_args(PasteMode))}, got {mode!r}")
    num, mask_size = len(mask_probs), mask_probs.shape[-1]
    if mask_probs.shape != (num, mask_size, mask_size) or boxes.shape != (num, 4):
        shapes = f"{tuple(mask_probs.shape)} and {tuple(boxes.shape)}"
        raise ValueError(f"expected mask_probs (N, M, M) and boxes (N, 4), got {shapes}")

    x_axis, y_axis = _axes(boxes.float(), image_size, mask_size, mode)
    is_set = torch.gt if mode == "expand_to_integer" else torch.ge
    # What a window costs (see `_sample_rows`): its columns times the rows looked at. One transfer for the whole batch.
    widths, heights = x_axis.stop - x_axis.start, y_axis.stop - y_axis.start
    costs = (widths * heights.clamp(max=2 * (mask_size + 1))).cpu()
    live = costs.nonzero()[:, 0]
    chunk = costs[live].cumsum(0) // _SAMPLES_AT_ONCE
    num_boundaries = np.zeros(num, np.int64)
    dtype = torch.int32 if image_size[0] * image_size[1] < 1 << 31 else torch.int64
    boundaries = [np.zeros(0, np.int32)]  # there may be no window at all
    for idx in live.split(torch.unique_consecutive(chunk, return_counts=True)[1].tolist()):
        on_device = idx.to(boxes.device)
        padded = _pad(mask_probs[on_device], mode)
        flat, owner = _paste_boundaries(padded, x_axis[on_device], y_axis[on_device], image_size[0], is_set)
        boundaries.append(flat.to(dtype).cpu().numpy())
        num_boundaries[idx.numpy()] = torch.bincount(owner, minlength=len(idx)).cpu().numpy()
    return Runs(np.concatenate(boundaries), num_boundaries // 2, image_size)


def sample_grid(
    mask_probs: Tensor, boxes: Tensor, image_size: tuple[int, int], mode: PasteMode
) -> tuple[Tensor, Tensor, Tensor]:
    """The values that `masks_to_runs` reads bilinearly, and where in the image they lie.

    Values (N, M + 2, M + 2), y before x, with the ring of 0s; x of their columns and y of their rows, (N, M + 2) each,
    px. Boxes that give an empty mask have NaN there.
    """
    axes = _axes(boxes.float(), image_size, mask_probs.shape[-1], mode)
    cell = torch.arange(mask_probs.shape[-1] + 2, device=boxes.device)
    x, y = (axis.origin[:, None] + (cell - axis.shift) / axis.cells[:, None] * axis.size[:, None] for axis in axes)
    is_empty = (axes[0].stop <= axes[0].start) | (axes[1].stop <= axes[1].start)
    x, y = (torch.where(is_empty[:, None], torch.nan, places) for places in (x, y))
    return _pad(mask_probs, mode).transpose(1, 2), x, y


@dataclass(frozen=True)
class _Axis:
    """One direction, x or y: the pixels of each window and where each lies in the padded mask; tensors of one shape."""

    start: Tensor  # first pixel of the window, int64
    stop: Tensor  # behind its last pixel, int64
    origin: Tensor  # pixel coordinate where the mask (or, for "expand_to_integer", its ring) begins
    size: Tensor  # pixels from there to its end
    cells: Tensor  # cells over that size
    shift: float  # padded coordinate of the origin
    last: int  # padded coordinate of the last cell's centre, M + 1

    def __getitem__(self, idx: Tensor) -> "_Axis":
        start, stop, origin, size, cells = (
            part[idx] for part in (self.start, self.stop, self.origin, self.size, self.cells)
        )
        return _Axis(start, stop, origin, size, cells, self.shift, self.last)

    def cell(self, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """The padded cell (int64) before the centre of a pixel, and the weight 0..1 of the next.

        Every step is monotone in `pixel` in floating point too; `_bisect` relies on that.
        """
        position = (pixel + 0.5 - self.origin) / self.size * self.cells + self.shift
        position = position.clamp(0, self.last)
        before = position.floor().clamp(max=self.last - 1)
        return before.long(), position - before


def _axes(boxes: Tensor, image_size: tuple[int, int], mask_size: int, mode: PasteMode) -> tuple[_Axis, _Axis]:
    height, width = image_size
    low, high = boxes[:, :2], boxes[:, 2:]  # (N, 2): x, y
    keep = boxes.isfinite().all(1, keepdim=True)
    if mode == "expand_to_integer":
        # The order of operations is torchvision's: a box edge that rounds differently moves the mask by a pixel.
        half, centre = (high - low) * 0.5 * ((mask_size + 2) / mask_size), (high + low) * 0.5
        low, high = (centre - half).trunc(), (centre + half).trunc()
        start, stop = low, high + 1
        # Divided as tensors: Python's number / tensor is number * (1 / tensor), which rounds differently.
        cells = torch.full_like(low, mask_size + 2) / (stop - low).clamp(min=1)
        size, shift = torch.ones_like(low), -0.5
    else:
        if mode == "integer":
            low, high = low.round(), high.round()
        size, cells, shift = high - low, torch.full_like(low, mask_size), 0.5
        keep &= (size > 0).all(1, keepdim=True)
        # Outside the box the ring of 0s is reached after half a cell; a pixel is read at its centre, 0.5 from its edge.
        reach = size / (2 * mask_size) if mode == "exact" else 0
        start, stop = (low - reach - 0.5).ceil(), (high + reach - 0.5).ceil()
    limits = boxes.new_tensor([width, height])
    start, stop = (torch.where(keep, torch.minimum(edge.clamp(min=0), limits), 0).long() for edge in (start, stop))
    stop = torch.maximum(start, stop)
    x, y = (_Axis(start[:, k], stop[:, k], low[:, k], size[:, k], cells[:, k], shift, mask_size + 1) for k in (0, 1))
    return x, y


def _pad(mask_probs: Tensor, mode: PasteMode) -> Tensor:
    """(N, M + 2, M + 2) with a ring of 0s, x before y."""
    padded = F.pad(mask_probs.float().transpose(1, 2), (1, 1, 1, 1))
    if mode == "integer":
        # Values are limited to the mask's own range, so the ring can't pull a mask that is nowhere below 0.5 under it.
        padded[mask_probs.amin((1, 2)) >= _PROBABILITY_THRESHOLD] = 1.0
    return padded


def _paste_boundaries(
    padded: Tensor, x_axis: _Axis, y_axis: _Axis, height: int, is_set: Callable[[Tensor, float], Tensor]
) -> tuple[Tensor, Tensor]:
    """Run boundaries (B,) as flat indices x * height + y: start, stop, ... column by column; and their instances (B,).

    Within a column the value is linear in y from one cell centre to the next, so it crosses the threshold at most once
    on that way: the rows at both ends tell whether it does, and bisection finds where. The result is that of reading
    every pixel, at a cost that grows with an object's width and not with its area.
    """
    owner, x = _ragged(x_axis.stop - x_axis.start)  # (C,)
    x += x_axis.start[owner]
    cell, weight = x_axis[owner].cell(x)
    # Rows are taken by `index_select`, which on a CPU is several times as fast as indexing with a tensor.
    left = owner * padded.shape[1] + cell
    lines = padded.flatten(0, 1)
    columns = _lerp(lines.index_select(0, left), lines.index_select(0, left + 1), weight[:, None])  # (C, M + 2)

    rows, cell, weight = _sample_rows(y_axis)  # (N, S)
    cell_of_column, weight_of_column = cell.index_select(0, owner), weight.index_select(0, owner)  # (C, S)
    above, below = columns.gather(1, cell_of_column), columns[:, 1:].gather(1, cell_of_column)
    framed = F.pad(is_set(_lerp(above, below, weight_of_column), _PROBABILITY_THRESHOLD), (1, 1))
    column, sample = (framed[:, 1:] != framed[:, :-1]).nonzero().unbind(1)  # (B,): the change lies before this sample

    owner = owner[column]
    rows = torch.cat((y_axis.start[:, None] - 1, rows, y_axis.stop[:, None]), dim=1)
    before, after = rows[owner, sample], rows[owner, sample + 1]
    far = (after - before > 1).nonzero()[:, 0]
    if len(far):
        cell_of_far = cell[owner[far], sample[far]]
        above, below = columns[column[far], cell_of_far], columns[column[far], cell_of_far + 1]
        turns_on = framed[column[far], sample[far] + 1]
        axis = y_axis[owner[far]]

        def has_changed(y: Tensor) -> Tensor:
            value = _lerp(above, below, axis.cell(y)[1])
            return is_set(value, _PROBABILITY_THRESHOLD) == turns_on

        after[far] = _bisect(before[far], after[far], has_changed)
    return x[column] * height + after, owner


def _sample_rows(y_axis: _Axis) -> tuple[Tensor, Tensor, Tensor]:
    """The first and last row of each linear piece of each window, with its cell and weight: each (N, S), rows rising.

    Windows with fewer such rows repeat their last one.
    """
    owner, y = _ragged(y_axis.stop - y_axis.start)
    y += y_axis.start[owner]
    cell, _ = y_axis[owner].cell(y)
    piece = owner * (y_axis.last + 1) + cell
    is_first = F.pad(piece[1:] != piece[:-1], (1, 0), value=True)
    is_last = F.pad(is_first[1:], (0, 1), value=True)
    chosen = (is_first | is_last).nonzero()[:, 0]
    num = torch.bincount(owner[chosen], minlength=len(y_axis.start))
    rows = (y_axis.stop - 1)[:, None].repeat(1, int(num.max()))
    rows[_ragged(num)] = y[chosen]
    return rows, *y_axis[torch.arange(len(rows), device=rows.device)[:, None]].cell(rows)


def _bisect(before: Tensor, after: Tensor, has_changed: Callable[[Tensor], Tensor]) -> Tensor:
    """The first row in (before, after] that has changed, where `before` has not and `after` has."""
    for _ in range(int((after - before).max() - 1).bit_length()):
        middle = (before + after) // 2
        changed = has_changed(middle)
        after = torch.where(changed, middle, after)
        before = torch.where(changed, before, middle)
    return after


def _ragged(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Owner and position of each element of rows of these lengths laid end to end."""
    owner = torch.repeat_interleave(lengths)
    first = lengths.cumsum(0) - lengths
    return owner, torch.arange(len(owner), device=owner.device) - first[owner]


def _lerp(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    # Not torch.lerp: it changes formula at weight 0.5 and is not monotone in the weight there.
    return (b - a).mul_(weight).add_(a)
