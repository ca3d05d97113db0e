"""Which level a region is read from, and reading it.

Letters: N images, C channels, R regions, S bins along a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from maskrcnn.model.fpn import STRIDES
from maskrcnn.ops.roi_align import crop_and_resize, roi_align
from maskrcnn.structures.image_batch import Size

CANONICAL_LEVEL = 4  # a region of the canonical size is read from P4 (arXiv:1612.03144, equation 1)


@dataclass(frozen=True)
class RoIPooler:
    """Reads regions from P2..P5; see `RoISettings`."""

    operation: Literal["roi_align", "crop_and_resize"] = "roi_align"
    aligned: bool = True
    sampling_ratio: int = 2
    level_rule: Literal["floor", "round"] = "floor"
    level_eps: float = 1e-8
    level_eps_inside_log: bool = True
    canonical_size: float = 224.0

    def __call__(
        self, levels: Sequence[Tensor], boxes: Tensor, image_idx: Tensor, padded_size: Size, resolution: int
    ) -> Tensor:
        """Features (R, C, S, S) of `boxes` (R, 4), px of the padded frame, in images `image_idx` (R,).

        They are float32 where gradients are wanted, else of the type of `levels`.
        """
        level_idx = self.level_of(boxes, padded_size)
        order = level_idx.argsort(stable=True)
        num_of_level = torch.bincount(level_idx, minlength=4).tolist()  # the one synchronisation
        pooled = []
        for features, stride, members in zip(levels, STRIDES[:4], order.split(num_of_level), strict=False):
            of_level = boxes[members], image_idx[members]
            if self.operation == "crop_and_resize":
                pooled.append(crop_and_resize(features, *of_level, padded_size, resolution))
            else:
                pooled.append(roi_align(features, *of_level, stride, resolution, self.sampling_ratio, self.aligned))
        return torch.cat(pooled)[order.argsort()]

    def level_of(self, boxes: Tensor, padded_size: Size) -> Tensor:
        """Index (R,) 0..3 into P2..P5, by the size of each box."""
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
        return level.clamp(min=2, max=5).nan_to_num(2).to(torch.int64) - 2
