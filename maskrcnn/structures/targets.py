"""What the annotations of one image say, in its current frame (G instances, C crowd regions)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from maskrcnn.structures.label_map import LabelMap
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
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """What else is known of each instance, by name: (G, ...) tensors. They follow the instances through selection,
    cropping, pasting and devices; their values stay as they are, also where the image is turned."""
    label_map: LabelMap | None = None
    """The label of every pixel, for a semantic branch; None where the annotations do not tell."""

    def __post_init__(self) -> None:
        num_instances = len(self.labels)
        shapes = (tuple(self.boxes.shape), tuple(self.labels.shape), len(self.masks), tuple(self.ignore_boxes.shape))
        expected = ((num_instances, 4), (num_instances,), num_instances, (len(self.ignore_boxes), 4))
        if shapes != expected:
            raise ValueError(f"targets need shapes {expected} (boxes, labels, masks, ignore_boxes), got {shapes}")
        dtypes = (self.boxes.dtype, self.labels.dtype, self.ignore_boxes.dtype)
        if dtypes != (torch.float32, torch.int64, torch.float32):
            raise ValueError(f"targets need float32 boxes, int64 labels and float32 ignore_boxes, got {dtypes}")
        for name, values in self.extra.items():
            if values.shape[:1] != (num_instances,):
                shape = tuple(values.shape)
                raise ValueError(f"targets need extra field {name} of shape ({num_instances}, ...), got {shape}")

    @classmethod
    def empty(cls, label_map: LabelMap | None = None) -> "Targets":
        """No instance, no crowd region."""
        no_boxes = torch.zeros(0, 4)
        no_labels = torch.zeros(0, dtype=torch.int64)
        return cls(no_boxes, no_labels, MaskCrops.from_bitmaps([]), no_boxes, label_map=label_map)

    @classmethod
    def concatenate(cls, parts: Sequence["Targets"]) -> "Targets":
        """The instances and crowd regions of one or more `parts` of the same frame, one after the other, with the label
        map of the first.

        Raises:
            ValueError: their extra fields have other names.
        """
        names = [sorted(part.extra) for part in parts]
        if any(other != names[0] for other in names):
            raise ValueError(f"targets to concatenate need the same extra fields, got {names}")
        return cls(
            torch.cat([part.boxes for part in parts]),
            torch.cat([part.labels for part in parts]),
            MaskCrops.concatenate([part.masks for part in parts]),
            torch.cat([part.ignore_boxes for part in parts]),
            {name: torch.cat([part.extra[name] for part in parts]) for name in parts[0].extra},
            parts[0].label_map,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "Targets":
        """The instances that a (G,) bool tensor keeps, or that an int64 tensor lists; all crowd regions stay."""
        extra = {name: values[index] for name, values in self.extra.items()}
        boxes, labels, masks = self.boxes[index], self.labels[index], self.masks[index]
        return Targets(boxes, labels, masks, self.ignore_boxes, extra, self.label_map)

    def to(self, device: torch.device | str) -> "Targets":
        label_map = self.label_map and self.label_map.to(device)
        return self._map(lambda tensor: tensor.to(device, non_blocking=True), self.masks.to(device), label_map)

    def pin_memory(self) -> "Targets":
        return self._map(Tensor.pin_memory, self.masks.pin_memory(), self.label_map and self.label_map.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor], masks: MaskCrops, label_map: LabelMap | None) -> "Targets":
        extra = {name: function(values) for name, values in self.extra.items()}
        boxes, labels, ignore_boxes = function(self.boxes), function(self.labels), function(self.ignore_boxes)
        return Targets(boxes, labels, masks, ignore_boxes, extra, label_map)
