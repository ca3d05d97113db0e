"""What the annotations of one image say, in its current frame (G instances, C crowd regions)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from maskrcnn.structures.mask_crops import MaskCrops


@dataclass(frozen=True)
class Targets:
    """The instances to be found in one image; G = 0 is an image without objects."""

    boxes: Tensor
    """(G, 4) float32, x0 y0 x1 y1."""
    labels: Tensor
    """(G,) int64, 0..K-1."""
    masks: MaskCrops
    """G masks, in the order of the boxes."""
    ignore_boxes: Tensor
    """(C, 4) float32: crowd regions, neither objects nor background."""

    def __post_init__(self) -> None:
        num_instances = len(self.labels)
        shapes = (tuple(self.boxes.shape), tuple(self.labels.shape), len(self.masks), tuple(self.ignore_boxes.shape))
        expected = ((num_instances, 4), (num_instances,), num_instances, (len(self.ignore_boxes), 4))
        if shapes != expected:
            raise ValueError(f"targets need shapes {expected} (boxes, labels, masks, ignore_boxes), got {shapes}")
        dtypes = (self.boxes.dtype, self.labels.dtype, self.ignore_boxes.dtype)
        if dtypes != (torch.float32, torch.int64, torch.float32):
            raise ValueError(f"targets need float32 boxes, int64 labels and float32 ignore_boxes, got {dtypes}")

    @classmethod
    def empty(cls) -> "Targets":
        """No instance, no crowd region."""
        no_boxes = torch.zeros(0, 4)
        return cls(no_boxes, torch.zeros(0, dtype=torch.int64), MaskCrops.from_bitmaps([]), no_boxes)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "Targets":
        """The instances that a (G,) bool tensor keeps, or that an int64 tensor lists; all crowd regions stay."""
        return Targets(self.boxes[index], self.labels[index], self.masks[index], self.ignore_boxes)

    def to(self, device: torch.device | str) -> "Targets":
        return Targets(
            self.boxes.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.masks.to(device),
            self.ignore_boxes.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "Targets":
        return Targets(
            self.boxes.pin_memory(), self.labels.pin_memory(), self.masks.pin_memory(), self.ignore_boxes.pin_memory()
        )
