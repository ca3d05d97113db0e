"""Leave out objects by their size and place, before they are counted."""

import math
from dataclasses import dataclass

import numpy as np

from maskrcnn.report.measure import touches_border
from maskrcnn.structures.instances import Instances


@dataclass(frozen=True)
class Selection:
    """Which objects count; the default leaves out none.

    Raises:
        ValueError: limits that no object can meet.
    """

    min_area: float | None = None
    """Pixels of the mask, at least."""
    max_area: float | None = None
    """Pixels of the mask, at most."""
    exclude_border: bool = False
    """Leave out objects of which a pixel is at the border of the picture, since they may be cut off."""

    def __post_init__(self) -> None:
        for name, value in (("min_area", self.min_area), ("max_area", self.max_area)):
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected pixels, 0 or more, got {value}")
        if self.min_area is not None and self.max_area is not None and self.min_area > self.max_area:
            raise ValueError(f"min_area: expected at most max_area, got {self.min_area:g} and {self.max_area:g}")

    def __bool__(self) -> bool:
        return self != Selection()

    def __str__(self) -> str:
        """Such as "of at least 50 px, not at the border"."""
        limits = (("least", self.min_area), ("most", self.max_area))
        said = [f"of at {end} {area:g} px" for end, area in limits if area is not None]
        return ", ".join(said + ["not at the border"] * self.exclude_border)

    def __call__(self, instances: Instances) -> Instances:
        """The objects that count."""
        keep = np.ones(len(instances), bool)
        if self.min_area is not None:
            keep &= instances.areas() >= self.min_area
        if self.max_area is not None:
            keep &= instances.areas() <= self.max_area
        if self.exclude_border:
            keep &= ~touches_border(instances)
        return instances if keep.all() else instances[keep]


def select(
    instances: Instances,
    *,
    min_area: float | None = None,
    max_area: float | None = None,
    exclude_border: bool = False,
) -> Instances:
    """The objects of `min_area` to `max_area` pixels, both included, and with `exclude_border` only those away from it.

    Raises:
        ValueError: limits that no object can meet.
    """
    return Selection(min_area, max_area, exclude_border)(instances)
