"""One segmentation, whatever its form, as RLE, and what is wrong with it."""

from typing import Any

import numpy as np
import pycocotools.mask

from maskrcnn.data.coco_records import brief
from maskrcnn.structures.rle import rle_counts

FAR = 10
"""Coordinates beyond this many image sides are no outline; pycocotools would reserve memory for all of their way."""
MAX_OUTLINE_PX = 4_000_000
"""Length of all outlines of an object together: pycocotools takes some 120 bytes for each pixel of it."""

Finding = tuple[str, str]  # kind, reason


def read_mask(segmentation: Any, size: tuple[int, int]) -> tuple[Any, dict[str, Any] | None, list[Finding]]:
    """The segmentation as COCO writes it, its mask as pycocotools' compressed RLE (`counts` are bytes) or None, and
    what is wrong, as (kind, reason).

    `size` is the (height, width) of the image. A mask that is given may still have no pixel.
    """
    if not segmentation:
        return None, None, [("empty-segmentation", "there is no segmentation")]
    if isinstance(segmentation, dict):
        return _read_rle(segmentation, size)
    if isinstance(segmentation, list):
        flat = _flat_polygons(segmentation)
        rle, findings = _read_polygons(flat, size)
        if flat is not segmentation:
            findings.append(("point-pairs", "the outline is pairs [[x, y], [x, y], ...]"))
        return flat, rle, findings
    return None, None, [("malformed-segmentation", f"expected a list of polygons or an RLE, got {brief(segmentation)}")]


def _flat_polygons(segmentation: list[Any]) -> list[Any]:
    """[[x, y], [x, y], ...] or a list of such as polygons [[x, y, x, y, ...]]; anything else as it is."""
    if len(segmentation) > 2 and all(map(_is_point, segmentation)):
        return [[number for point in segmentation for number in point]]
    if all(isinstance(part, list) and part and all(map(_is_point, part)) for part in segmentation):
        return [[number for point in part for number in point] for part in segmentation]
    return segmentation


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(number, int | float) for number in value)


def _read_rle(segmentation: dict[str, Any], size: tuple[int, int]) -> tuple[Any, dict[str, Any] | None, list[Finding]]:
    height, width = size
    given, counts = segmentation.get("size"), segmentation.get("counts")
    if given != [height, width] and given != (height, width):
        swapped = "; the sides are swapped" if given == [width, height] else ""
        reason = f"the RLE has size {brief(given)}, the image {[height, width]} (height, width){swapped}"
        return None, None, [("rle-size", reason)]
    if not isinstance(counts, str | bytes | list):
        return None, None, [("malformed-segmentation", f"expected RLE counts, a string or a list, got {brief(counts)}")]
    rle: Any = {"size": [height, width], "counts": counts}
    try:
        rle_counts(rle)
        if isinstance(counts, list):
            return segmentation, pycocotools.mask.frPyObjects(rle, height, width), []  # pyright: ignore
        text = counts if isinstance(counts, str) else counts.decode("ascii")
        segmentation = segmentation if isinstance(counts, str) else {**segmentation, "counts": text}
        return segmentation, {**rle, "counts": text.encode("ascii")}, []
    except (ValueError, TypeError, OverflowError) as error:
        return None, None, [("rle-counts", str(error))]


def _read_polygons(segmentation: list[Any], size: tuple[int, int]) -> tuple[dict[str, Any] | None, list[Finding]]:
    parts = [segmentation] if isinstance(segmentation[0], int | float) else segmentation
    polygons = []
    for part in parts:
        coordinates = _flat_numbers(part)
        if coordinates is None:
            return None, [("malformed-segmentation", f"expected a polygon [x, y, x, y, ...], got {brief(part)}")]
        polygons.append(coordinates)
    every = np.concatenate(polygons)
    if not len(every):
        return None, [("empty-segmentation", "every polygon is empty")]
    odd = [len(polygon) for polygon in polygons if len(polygon) % 2]
    if odd:
        return None, [("odd-coordinates", f"a polygon has {odd[0]} coordinates, expected pairs x, y")]
    if not np.isfinite(every).all():
        return None, [
            ("non-finite-coordinates", f"expected finite numbers, a polygon contains {every[~np.isfinite(every)][0]}")
        ]
    if is_normalised(every):
        reason = f"the polygon lies in 0..1, expected pixels (image of {size[0]} x {size[1]}, height x width)"
        return None, [("normalised-coordinates", reason)]
    if np.abs(every).max() > FAR * max(size):
        reason = f"a polygon goes to {every[np.abs(every).argmax()]:g} in an image of {size[0]} x {size[1]}"
        return None, [("far-coordinates", reason)]
    usable = [polygon for polygon in polygons if len(polygon) >= 6]
    if not usable:
        return None, [("two-point-polygon", f"no polygon has three points; the longest has {len(polygons[0]) // 2}")]
    length = sum(map(_outline_length, usable))
    if length > MAX_OUTLINE_PX:
        num = sum(len(polygon) // 2 for polygon in usable)
        reason = f"an outline of {num} points is {length:.3g} px long, expected at most {MAX_OUTLINE_PX} px"
        return None, [("long-outline", reason)]
    findings: list[Finding] = []
    if len(usable) < len(polygons):
        findings.append(
            ("two-point-part", f"{len(polygons) - len(usable)} of {len(polygons)} polygons enclose nothing")
        )
    height, width = size
    rles = pycocotools.mask.frPyObjects([polygon.tolist() for polygon in usable], height, width)
    return pycocotools.mask.merge(rles), findings  # pyright: ignore[reportReturnType]


def _outline_length(polygon: np.ndarray) -> float:
    """Of a closed polygon (2P,), each edge along its longer side, as pycocotools walks it, px."""
    points = polygon.reshape(-1, 2)
    return float(np.abs(points - np.roll(points, -1, axis=0)).max(axis=1).sum())


def polygon_points(segmentation: Any) -> list[np.ndarray]:
    """The finite points of each polygon, (P, 2) float64, whether they make a mask or not; [] for an RLE."""
    if not isinstance(segmentation, list) or not segmentation:
        return []
    parts = [segmentation] if isinstance(segmentation[0], int | float) else segmentation
    polygons = [numbers for part in parts if (numbers := _flat_numbers(part)) is not None]
    points = [numbers[: len(numbers) // 2 * 2].reshape(-1, 2) for numbers in polygons]
    return [part[np.isfinite(part).all(axis=1)] for part in points]


def is_normalised(numbers: np.ndarray) -> bool:
    """Whether all numbers are in 0..1 and not whole, as shares of an image are; whole ones can be a first pixel."""
    return bool(((numbers >= 0) & (numbers <= 1)).all() and (numbers % 1).any())


def _flat_numbers(part: Any) -> np.ndarray | None:
    """A list of numbers as float64 (n,), or None if it is anything else."""
    try:
        numbers = np.asarray(part)
    except ValueError:  # lists of different lengths
        return None
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        return None
    return numbers.astype(np.float64)
