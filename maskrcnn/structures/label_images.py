"""Label images: one number for every object, as thresholds and watersheds give them, made into instances.

N objects; H W the picture.
"""

from collections.abc import Sequence

import numpy as np
import torch

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs


def runs_of_numbers(numbers: np.ndarray, num_objects: int) -> Runs:
    """The masks of the objects 1..N of `numbers`, an integer (H, W) in which 0 is nothing; one pass over the pixels."""
    height, width = numbers.shape
    framed = np.zeros((width, height + 2), numbers.dtype)  # column by column; 0s close every run inside its own column
    framed[:, 1:-1] = numbers.T
    is_change = framed[:, 1:] != framed[:, :-1]
    x, y = np.nonzero(is_change & (framed[:, 1:] != 0))
    starts, owner = x * height + y, framed[x, y + 1].astype(np.int64) - 1
    x, y = np.nonzero(is_change & (framed[:, :-1] != 0))  # in the same order, since runs of a column do not overlap
    stops = x * height + y
    order = np.argsort(owner, kind="stable")
    boundaries = np.stack([starts, stops], axis=1)[order].reshape(-1)
    return Runs(boundaries, np.bincount(owner, minlength=num_objects), (height, width))


def instances_of_numbers(
    numbers: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    class_names: tuple[str, ...],
    scores: Sequence[float] | np.ndarray | None = None,
    notes: tuple[str, ...] = (),
) -> Instances:
    """The objects 1..N of `numbers`, integers (H, W) in which 0 is nothing, with the `labels` (N,) of each.

    Boxes are tight around the pixels. Scores are 1 where none are given.

    Raises:
        ValueError: a number above N.
    """
    num, highest = len(labels), int(numbers.max(initial=0))
    if highest > num:
        raise ValueError(f"expected a label for each of {highest} objects, got {num}")
    runs = runs_of_numbers(numbers, num)
    return Instances(
        image_size=runs.image_size,
        boxes=torch.from_numpy(runs.windows().astype(np.float32)),
        labels=torch.from_numpy(np.asarray(labels, np.int64).reshape(-1)),
        scores=torch.ones(num) if scores is None else torch.from_numpy(np.asarray(scores, np.float32).reshape(-1)),
        mask_probs=torch.ones(num, 1, 1),  # nobody asks: `pixels` are the masks
        class_names=class_names,
        notes=notes,
        pixels=runs,
    )
