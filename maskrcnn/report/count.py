"""Count objects by class name."""

from collections.abc import Iterable, Mapping

import torch

from maskrcnn.structures.instances import Instances


def count(instances: Instances) -> dict[str, int]:
    """Number of objects of every class, in the order of `class_names`; classes without an object are there with 0."""
    per_label = torch.bincount(instances.labels, minlength=len(instances.class_names)).tolist()
    return add_counts({name: number} for name, number in zip(instances.class_names, per_label, strict=True))


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum counts over images, class by class; a class keeps the place where it was first seen."""
    total: dict[str, int] = {}
    for one in counts:
        for name, number in one.items():
            total[name] = total.get(name, 0) + number
    return total
