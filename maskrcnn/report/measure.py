"""Measure objects: size, shape, place and intensity of each, in a table (N objects, C channels)."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.optional import needed
from maskrcnn.report.shapes import convex_areas, ellipses, intensities, perimeters
from maskrcnn.structures.instances import Instances
from maskrcnn.untrusted.names import table_cell

LENGTHS = ("equivalent_diameter", "perimeter", "major_axis", "minor_axis")
"""Columns that are lengths, without their unit."""
METRIC = ("area_um2", *(f"{name}_um" for name in LENGTHS))
"""Columns that need the size of a pixel."""
METRIC_M = ("area_m2", *(f"{name}_m" for name in LENGTHS))
"""The same where a pixel is of the size of things on a map."""
ON_A_MAP_UM = 1000.0
"""Side of a pixel from which lengths are told in metres."""
MAX_CHANNELS = 64
"""An array with more is taken for one with other axes."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """A table with a row for each object: `table["area_px"]` is a column."""

    columns: Mapping[str, np.ndarray]
    """By name, in the order of the file; (N,) each. See `measure`."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def to_csv(self, path: str | Path) -> None:
        """Write a line for each object below a line of names; what is not a number is an empty cell."""
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self.columns)
        columns = [values.tolist() for values in self.columns.values()]
        table.writerows([cell(value) for value in row] for row in zip(*columns, strict=True))
        with atomic_path(path) as temporary:
            temporary.write_bytes(text.getvalue().encode())

    def to_pandas(self) -> Any:
        """The same as a `pandas.DataFrame`.

        Raises:
            MissingPackageError: pandas is not installed; the extra `interop` has it.
        """
        return needed("pandas", "interop", "to_pandas").DataFrame(dict(self.columns))


def measure(
    instances: Instances,
    image: np.ndarray | None = None,
    *,
    pixel_size_um: float | None = None,
    channel_names: Sequence[str] | None = None,
) -> Measurements:
    """Measure each object; from masks as runs of pixels, so that 10,000 objects in a large picture take seconds.

    Columns, equal to those of scikit-image's `regionprops` of the same name but for what is said here:

    - `id` 1..N, `class`, `score`; `centroid_x`, `centroid_y` of the mask and `box_x0`, `box_y0`, `box_x1`, `box_y1` in
      px, where pixel (0, 0) covers 0..1 (`regionprops` has its centre at 0);
    - `area_px`, the pixels; `equivalent_diameter_px` of the circle of that area; `perimeter_px`, holes included;
      `major_axis_px`, `minor_axis_px`, `orientation` and `eccentricity` of the ellipse with the same second moments,
      orientation in radians from the y axis, counter-clockwise; `solidity`, the part of its convex hull that the mask
      fills; `circularity`, 4 pi area / perimeter^2, which a few pixels can bring above 1;
    - `touches_border`: a pixel of the mask is at the border of the picture;
    - with `image`: `mean_intensity`, `min_intensity`, `max_intensity`, `sum_intensity`, each followed by `_<channel>`
      where there are several (`_red`, `_green`, `_blue` of three);
    - with `pixel_size_um`: `area_um2`, and the lengths as `equivalent_diameter_um`, ...

    An empty mask has area 0, no border, and NaN elsewhere; where the perimeter is 0, circularity is NaN.

    Args:
        image: the picture before anything was stretched, numbers (H, W) or (H, W, C) of any type.
        pixel_size_um: the side of a pixel in micrometres.
        channel_names: in place of numbers from 0, or of colours.

    Raises:
        ValueError: an image of another size or of no numbers, names that do not fit, a pixel size that is none.
    """
    if pixel_size_um is not None and not 0 < pixel_size_um < math.inf:
        raise ValueError(f"pixel_size_um: expected micrometres above 0, got {pixel_size_um}")
    runs, areas = instances.runs, instances.areas()
    boxes = instances.boxes.cpu().numpy().astype(np.float64)
    ellipse, perimeter = ellipses(runs), perimeters(runs)
    is_filled = areas > 0
    diameter = np.where(is_filled, np.sqrt(4 * areas / np.pi), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        circularity = np.where(perimeter > 0, 4 * np.pi * areas / perimeter**2, np.nan)
    names = np.array([*instances.class_names, ""], object)
    columns: dict[str, np.ndarray] = {
        "id": np.arange(1, len(areas) + 1),
        "class": names[instances.labels.cpu().numpy()],
        "score": instances.scores.cpu().numpy().astype(np.float64),
        "centroid_x": ellipse.x + 0.5,
        "centroid_y": ellipse.y + 0.5,
        **{f"box_{edge}": boxes[:, i] for i, edge in enumerate(("x0", "y0", "x1", "y1"))},
        "area_px": areas,
        "equivalent_diameter_px": diameter,
        "perimeter_px": perimeter,
        "major_axis_px": ellipse.major,
        "minor_axis_px": ellipse.minor,
        "orientation": ellipse.orientation,
        "eccentricity": ellipse.eccentricity,
        "solidity": areas / convex_areas(runs),
        "circularity": circularity,
        "touches_border": touches_border(instances),
    }
    if image is not None:
        columns |= _intensity_columns(instances, image, channel_names)
    if pixel_size_um is not None:
        columns |= in_micrometres(columns, pixel_size_um)
    return Measurements(columns)


def in_micrometres(columns: Mapping[str, np.ndarray], pixel_size_um: float) -> dict[str, np.ndarray]:
    """The areas and lengths among `columns` in micrometres, under their own names."""
    lengths = {f"{name}_um": columns[f"{name}_px"] * pixel_size_um for name in LENGTHS}
    return {"area_um2": columns["area_px"] * pixel_size_um**2, **lengths}


def in_metres(columns: Mapping[str, np.ndarray], pixel_size_um: float) -> dict[str, np.ndarray]:
    """The same in metres."""
    side = pixel_size_um / 1e6
    lengths = {f"{name}_m": columns[f"{name}_px"] * side for name in LENGTHS}
    return {"area_m2": columns["area_px"] * side**2, **lengths}


def touches_border(instances: Instances) -> np.ndarray:
    """Whether a pixel of the mask is in the first or last row or column of the picture, bool (N,)."""
    height, width = instances.image_size
    x0, y0, x1, y1 = instances.runs.windows().T
    return (instances.areas() > 0) & ((x0 == 0) | (y0 == 0) | (x1 == width) | (y1 == height))


def cell(value: object) -> object:
    """A value as a cell of a table: numbers to nine digits, "" for NaN or None, yes/no as 1 and 0, words made safe."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return f"{value:.9g}"
    return table_cell(value) if isinstance(value, str) else value


def _intensity_columns(
    instances: Instances, image: np.ndarray, channel_names: Sequence[str] | None
) -> dict[str, np.ndarray]:
    numbers = image[..., None] if image.ndim == 2 else image
    fits = numbers.ndim == 3 and numbers.shape[:2] == instances.image_size and 1 <= numbers.shape[2] <= MAX_CHANNELS
    if not fits or numbers.dtype.kind not in "buif":
        height, width = instances.image_size
        raise ValueError(
            f"expected numbers ({height}, {width}) or ({height}, {width}, channels), as the instances have, "
            f"got {image.shape} {image.dtype}"
        )
    num = numbers.shape[2]
    usual = {1: [""], 3: ["red", "green", "blue"]}.get(num, [str(channel) for channel in range(num)])
    channels = usual if channel_names is None else list(channel_names)
    if len(channels) != num or len(set(channels)) != num:
        raise ValueError(f"channel_names: expected {num} different names, got {channels}")
    found = intensities(instances.runs, numbers.view(np.uint8) if numbers.dtype == bool else numbers)
    areas = instances.areas()
    columns = {}
    for channel, name in enumerate(channels):
        low, high, total = (values[:, channel] for values in found)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = total / areas
        for kind, values in (("mean", mean), ("min", low), ("max", high), ("sum", total)):
            known = values if (areas > 0).all() else np.where(areas > 0, values.astype(np.float64), np.nan)
            columns[f"{kind}_intensity{f'_{name}' if name else ''}"] = known
    return columns
