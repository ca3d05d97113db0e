"""Which level a region is read from, and reading it.

Letters: N images, C channels, R regions, S bins along a side.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from maskrcnn.model.fpn import STRIDES
from maskrcnn.ops.roi_align import crop_and_resize, roi_align
from maskrcnn.structures.image_batch import Size

CANONICAL_LEVEL = 4  # a region of the canonical size is read from P4 (arXiv:1612.03144, equation 1)


@dataclass(frozen=True)
class RoIPooler:
    """Reads regions from P2..P5, or whatever levels of `strides` there are; see `RoISettings`."""

    operation: Literal["roi_align", "crop_and_resize"] = "roi_align"
    aligned: bool = True
    sampling_ratio: int = 2
    level_rule: Literal["floor", "round"] = "floor"
    level_eps: float = 1e-8
    level_eps_inside_log: bool = True
    canonical_size: float = 224.0
    strides: Sequence[int] = STRIDES[:4]
    """Of the levels, ascending."""
    stage: nn.Module | None = None
    """What all heads pass their regions through first: the body's last stage in the paper's C4. Its owner is the box
    head."""
    stage_stride: int = 1
    """Of `stage`."""

    def __call__(
        self, levels: Sequence[Tensor], boxes: Tensor, image_idx: Tensor, padded_size: Size, resolution: int
    ) -> Tensor:
        """Features (R, C, S, S) of `boxes` (R, 4), px of the padded frame, in images `image_idx` (R,).

        S is `resolution`, or what `stage` makes of it.
        They are float32 where gradients are wanted, else of the type of `levels`.
        """
        (regions,) = self.in_parts(levels, boxes, image_idx, padded_size, resolution, max(1, len(boxes)))
        return regions

    def in_parts(
        self,
        levels: Sequence[Tensor],
        boxes: Tensor,
        image_idx: Tensor,
        padded_size: Size,
        resolution: int,
        part_size: int,
    ) -> Iterator[Tensor]:
        """The same, `part_size` regions after the other; one part where there is no region."""
        level_idx = self.level_of(boxes, padded_size)
        num_images, num_levels = len(levels[0]), len(self.strides)
        num_parts, num_places = max(1, math.ceil(len(boxes) / part_size)), num_levels * num_images
        place = level_idx * num_images + image_idx
        part_idx = torch.arange(len(boxes), device=boxes.device) // part_size
        counts = count_each(part_idx * num_places + place, num_parts * num_places)
        table = counts.view(num_parts, num_levels, num_images).tolist()  # the one synchronisation
        parts = (tensor.split(part_size) for tensor in (place, boxes, image_idx))
        for of_place, own, image, num_of_image in zip(*parts, table, strict=True):
            order = of_place.argsort(stable=True)
            members_of_level = order.split([sum(numbers) for numbers in num_of_image])
            pooled = []
            for i, members in enumerate(members_of_level):
                features, of_level = levels[i], own[members]
                if self.operation == "crop_and_resize":
                    pooled.append(crop_and_resize(features, of_level, num_of_image[i], padded_size, resolution))
                else:
                    rules = self.strides[i], resolution, self.sampling_ratio, self.aligned
                    pooled.append(roi_align(features, of_level, image[members], *rules))
            regions = torch.cat(pooled)[order.argsort()]
            yield self.stage(regions) if self.stage is not None else regions

    def level_of(self, boxes: Tensor, padded_size: Size) -> Tensor:
        """Index (R,) of the level that each box is read from, by its size: 0..3 into P2..P5."""
        sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
        ratio = (sides[:, 0] * sides[:, 1]).sqrt() / self.canonical_size
        if self.operation == "crop_and_resize":  # measured on boxes that were divided by the side - 1
            height, width = padded_size
            ratio = ratio * (height * width / ((height - 1) * (width - 1))) ** 0.5
        if self.level_eps_inside_log:
            level = CANONICAL_LEVEL + torch.log2(ratio + self.level_eps)
        else:
            level = CANONICAL_LEVEL + torch.log2(ratio) + self.level_eps
        level = level.round() if self.level_rule == "round" else level.floor()
        level_idx = torch.zeros_like(level, dtype=torch.int64)  # nothing lies below the first; NaN is read from it
        for stride in self.strides[1:]:
            level_idx += level >= math.log2(stride)
        return level_idx


def count_each(numbers: Tensor, num: int) -> Tensor:
    """How often each of 0..num-1 is in `numbers` (R,) int64: (num,) int64.

    It makes (R, num) booleans, so `num` should be small; `bincount` would have a GPU tell the host the extremes first.
    """
    return (numbers[:, None] == torch.arange(num, device=numbers.device)).sum(dim=0)
