"""Measuring 10,000 objects of one image: how long it takes, and how near it is to scikit-image's regionprops."""

import importlib.util
import time

import cv2
import numpy as np
import torch

from maskrcnn.report.measure import measure
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs

NUM, SIDE = 10_000, 60
"""Objects, and px of the square that each has for itself."""
LIMIT_S = 5.0
TOLERANCE = 1e-6
"""Largest difference from scikit-image, absolute or as a part of its number."""
COMPARED = {
    "area": "area_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "perimeter": "perimeter_px",
    "axis_major_length": "major_axis_px",
    "axis_minor_length": "minor_axis_px",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "intensity_mean": "mean_intensity",
    "intensity_min": "min_intensity",
    "intensity_max": "max_intensity",
}


def measuring(num: int = NUM) -> tuple[list[str], list[str]]:
    """The lines of the table, and what is wrong."""
    instances, crops = _objects(num)
    image = np.random.default_rng(1).integers(0, 60_000, instances.image_size, dtype=np.uint16)
    start = time.perf_counter()
    table = measure(instances, image)
    seconds = time.perf_counter() - start
    height, width = instances.image_size
    lines = [
        f"## measuring: {num:,} objects of {np.median(table['area_px']):.0f} px (median) in {width} x {height}",
        "",
        f"- ours, {len(list(table))} columns: {seconds:.2f} s",
    ]
    problems = [] if seconds < LIMIT_S * max(1, num / NUM) else [f"measuring: {seconds:.1f} s, more than {LIMIT_S:g} s"]
    if importlib.util.find_spec("skimage") is None:
        return [*lines, "- scikit-image is not installed, so nothing is compared"], problems
    theirs, difference = _compare(table, crops, image)
    lines.append(f"- scikit-image {theirs:.2f} s for {len(COMPARED)} of them, largest difference {difference:.1e}")
    if difference > TOLERANCE:
        problems.append(f"measuring: differs from scikit-image by {difference:.1e}")
    return lines, problems


def _objects(num: int) -> tuple[Instances, list[tuple[int, int, np.ndarray]]]:
    """Ragged spots on a grid."""
    rng = np.random.default_rng(0)
    per_row = max(1, round(num**0.5))
    kinds = []
    for _ in range(200):
        noise = cv2.GaussianBlur(rng.normal(size=(SIDE - 8, SIDE - 8)), (0, 0), 6)
        y, x = np.mgrid[: SIDE - 8, : SIDE - 8] - (SIDE - 8) / 2
        away = np.hypot(y, x)
        mask = (noise / noise.std() - away / rng.uniform(5, 10) > -1.5) | (away < 3)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        kinds.append(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    crops = [(SIDE * (i % per_row) + 4, SIDE * (i // per_row) + 4, kinds[i % len(kinds)]) for i in range(num)]
    size = SIDE * -(-num // per_row), SIDE * per_row
    runs = Runs.of_crops(crops, size)
    boxes = torch.from_numpy(runs.windows()).float()
    labels, scores, probs = torch.zeros(num, dtype=torch.int64), torch.ones(num), torch.zeros(num, 1, 1)
    return Instances(size, boxes, labels, scores, probs, ("spot",), pixels=runs), crops


def _compare(table: object, crops: list[tuple[int, int, np.ndarray]], image: np.ndarray) -> tuple[float, float]:
    """Seconds of scikit-image on the same objects, each in its own window, and the largest difference."""
    from skimage.measure import regionprops

    seconds, largest = 0.0, 0.0
    for i, (x0, y0, mask) in enumerate(crops):
        under = image[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        start = time.perf_counter()
        (true,) = regionprops(mask.astype(np.uint8), under)
        values = [float(getattr(true, name)) for name in COMPARED]
        seconds += time.perf_counter() - start
        for value, column in zip(values, COMPARED.values(), strict=True):
            ours = float(table[column][i])  # pyright: ignore[reportIndexIssue]
            largest = max(largest, abs(ours - value) / max(1.0, abs(value)))
    return seconds, largest
