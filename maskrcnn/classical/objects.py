"""From regions to objects: connected, with holes filled, large enough, and told apart where they touch.

H W the image; N objects.
"""

import cv2
import numpy as np

from maskrcnn.classical.edges import fill_holes
from maskrcnn.classical.watershed import watershed
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.label_images import instances_of_numbers

CLASS_NAME = "object"
"""Of everything that is found without weights, which know no kinds of things."""


def objects_of(
    mask: np.ndarray,
    *,
    split: bool = False,
    markers: np.ndarray | None = None,
    relief: np.ndarray | None = None,
    min_area: int = 0,
    fill: bool = True,
    class_name: str = CLASS_NAME,
) -> Instances:
    """The connected regions of `mask`, uint8 (H, W) 0 or 1, as objects with score 1, in the order of the rows.

    Pixels that touch at a corner are connected. `fill` closes holes first; `split` tells touching objects apart (see
    `watershed`), from `markers` over a `relief` where there are some. Objects of less than `min_area` px are left out.
    """
    solid = fill_holes(mask) if fill else mask
    if split or markers is not None:
        numbers = watershed(solid, markers, relief)
        num = int(numbers.max(initial=0))
    else:
        num, components = cv2.connectedComponents(solid, connectivity=8)
        num, numbers = num - 1, np.asarray(components, np.int32)
    areas = np.bincount(numbers.ravel(), minlength=num + 1)[1:]
    keep = areas >= max(min_area, 1)
    table = np.zeros(num + 1, np.int32)
    table[1:][keep] = np.arange(1, keep.sum() + 1)
    return instances_of_numbers(table[numbers], np.zeros(int(keep.sum()), np.int64), (class_name,))
