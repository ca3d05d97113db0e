"""What a data set consists of: objects of each class, their sizes and shapes (I images, N objects)."""

from dataclasses import dataclass

import numpy as np

from maskrcnn.data.annotations import Annotations


@dataclass(frozen=True, eq=False)
class Statistics:
    """One split. Objects are annotations that can be trained on; crowd regions and unusable ones are counted apart."""

    counts: dict[str, int]
    """Objects of each class, in the order of the category ids."""
    num_crowds: int
    num_unusable: int
    """Annotations without a usable mask, class or image."""
    areas: np.ndarray
    """(N,) int64, pixels of the mask of each object."""
    aspect_ratios: np.ndarray
    """(N,) float64, height / width of the box around the mask."""
    image_sizes: np.ndarray
    """(I, 2) int64, height and width; images without a size left out."""
    objects_per_image: np.ndarray
    """(I,) int64, all images."""
    stuff_pixels: dict[str, int]
    """Pixels of each kind of stuff, or of each class of annotations that give every pixel one; empty without any."""

    @property
    def num_objects(self) -> int:
        return len(self.areas)

    @property
    def num_images(self) -> int:
        return len(self.objects_per_image)

    @property
    def num_empty_images(self) -> int:
        return int((self.objects_per_image == 0).sum())


def statistics_of(table: Annotations) -> Statistics:
    """Count what the checks have read of one split."""
    is_object = table.is_object
    labels = np.bincount(table.labels[is_object], minlength=len(table.class_names)).tolist()
    counts = dict.fromkeys(table.class_names, 0)
    for name, number in zip(table.class_names, labels, strict=True):
        counts[name] += number  # two classes may have one name, which is an error of its own
    sides = table.mask_boxes_xywh[is_object, 2:]
    return Statistics(
        counts=counts,
        num_crowds=int((table.is_usable & table.is_crowd).sum()),
        num_unusable=int((~table.is_usable).sum()),
        areas=table.mask_areas[is_object],
        aspect_ratios=sides[:, 1] / sides[:, 0],
        image_sizes=table.sizes[table.sizes.all(axis=1)],
        objects_per_image=np.bincount(table.image[is_object], minlength=len(table)),
        stuff_pixels=table.stuff.pixels(table.sizes) if table.stuff is not None else {},
    )
