"""Annotation records one by one: what they refer to, and their masks (A annotations)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask
from tqdm import tqdm

from maskrcnn.data.checks.mask_reading import polygon_points, read_mask
from maskrcnn.data.checks.polygon_crossings import is_self_crossing
from maskrcnn.data.checks.record_checks import Records
from maskrcnn.data.problems import Problem, found

MAX_ID = 2**63 - 1


@dataclass(frozen=True, eq=False)
class AnnotationTable:
    """The annotations of one split as columns, a row for each record of the file, whether it can be used or not."""

    ids: tuple[str, ...]
    """As messages name them; "number 7" where a record has none."""
    image: np.ndarray
    """(A,) int64, place of the image in `Records`; -1 if unknown."""
    label: np.ndarray
    """(A,) int64, place of the class in `Records`; -1 if unknown."""
    is_crowd: np.ndarray
    """(A,) bool."""
    boxes: np.ndarray
    """(A, 4) float64, x y width height as in the file; NaN where there is none that can be read."""
    areas: np.ndarray
    """(A,) float64 as in the file; NaN where there is none."""
    mask_boxes: np.ndarray
    """(A, 4) float64, x y width height tight around the mask; 0 where there is none."""
    outline_boxes: np.ndarray
    """(A, 4) float64, x y width height around the points of the polygons, where pixels may be lost; as the mask's for
    an RLE."""
    mask_areas: np.ndarray
    """(A,) int64, pixels of the mask; 0 where it cannot be used."""
    mask_hashes: np.ndarray
    """(A,) int64, equal for equal masks."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_usable(self) -> np.ndarray:
        """(A,) bool: a mask with pixels, on a known image, of a known class."""
        return (self.mask_areas > 0) & (self.image >= 0) & (self.label >= 0)

    @property
    def is_instance(self) -> np.ndarray:
        """(A,) bool: what is trained on, an object with a mask that is no crowd."""
        return self.is_usable & ~self.is_crowd


def read_annotations(
    annotations: list[Any], records: Records, *, progress: bool = False
) -> tuple[AnnotationTable, list[Problem]]:
    """Every record as a row, and what is wrong with its ids and its mask."""
    num = len(annotations)
    table = AnnotationTable(
        ids=tuple(annotation_name(annotation, position) for position, annotation in enumerate(annotations)),
        image=np.full(num, -1, np.int64),
        label=np.full(num, -1, np.int64),
        is_crowd=np.zeros(num, bool),
        boxes=np.full((num, 4), np.nan),
        areas=np.full(num, np.nan),
        mask_boxes=np.zeros((num, 4)),
        outline_boxes=np.zeros((num, 4)),
        mask_areas=np.zeros(num, np.int64),
        mask_hashes=np.zeros(num, np.int64),
    )
    problems: list[Problem] = []
    seen: set[int] = set()
    for row, annotation in enumerate(
        tqdm(
            annotations,
            desc=f"annotations of {records.annotation_file}",
            disable=None if progress else True,
            leave=False,
        )
    ):
        if not isinstance(annotation, dict):
            reason = f"expected an annotation, got {annotation!r:.60}"
            problems.append(found("bad-annotation", reason, records.annotation_file, table.ids[row]))
            continue
        findings = _read_references(annotation, row, table, records, seen)
        findings += _read_box_and_area(annotation, row, table)
        findings += _read_mask(annotation.get("segmentation"), row, table, records)
        problems += [
            found(kind, reason + _where(records, table, row), records.annotation_file, table.ids[row])
            for kind, reason in findings
        ]
    return table, problems


def _read_references(
    annotation: Mapping[str, Any], row: int, table: AnnotationTable, records: Records, seen: set[int]
) -> list[tuple[str, str]]:
    findings = []
    annotation_id = annotation.get("id")
    if not isinstance(annotation_id, int) or abs(annotation_id) > MAX_ID:
        findings.append(("bad-annotation", f"expected an integer id, got {annotation_id!r:.60}"))
    elif annotation_id in seen:
        findings.append(("duplicate-annotation-id", "another annotation before it has the same id"))
    else:
        seen.add(annotation_id)
    table.image[row] = _look_up(records.image_index, annotation.get("image_id"))
    table.label[row] = _look_up(records.class_index, annotation.get("category_id"))
    if table.image[row] < 0:
        findings.append(("unknown-image", f"unknown image id {annotation.get('image_id')!r:.60}"))
    if table.label[row] < 0:
        findings.append(("unknown-category", f"unknown category id {annotation.get('category_id')!r:.60}"))
    table.is_crowd[row] = bool(annotation.get("iscrowd"))
    if annotation.get("iscrowd") is None:
        findings.append(("missing-iscrowd", "there is no iscrowd"))
    return findings


def _read_box_and_area(annotation: Mapping[str, Any], row: int, table: AnnotationTable) -> list[tuple[str, str]]:
    findings = []
    box, area = annotation.get("bbox"), annotation.get("area")
    if box is None or box == []:
        findings.append(("missing-box", "there is no bbox"))
    elif isinstance(box, list | tuple) and len(box) == 4 and all(_is_finite(number) for number in box):
        table.boxes[row] = box
    else:
        findings.append(("bad-box", f"expected a bbox of four finite numbers, got {box!r:.60}"))
    if area is None or not _is_finite(area):
        findings.append(("missing-area", f"there is no area: {area!r:.60}" if area is not None else "there is no area"))
    else:
        table.areas[row] = area
    return findings


def _read_mask(segmentation: Any, row: int, table: AnnotationTable, records: Records) -> list[tuple[str, str]]:
    height, width = records.sizes[table.image[row]].tolist() if table.image[row] >= 0 else (0, 0)
    if not height:  # without its image a mask has no meaning, and the image is named already
        return []
    rle, findings = read_mask(segmentation, (height, width))
    if rle is None:
        return findings
    area = int(pycocotools.mask.area(rle))  # pyright: ignore[reportArgumentType]
    if area == 0:
        return [*findings, _why_empty(segmentation, (height, width))]
    table.mask_areas[row] = area
    table.mask_boxes[row] = pycocotools.mask.toBbox(rle)  # pyright: ignore[reportArgumentType]
    table.outline_boxes[row] = table.mask_boxes[row] if isinstance(segmentation, dict) else _around(segmentation)
    table.mask_hashes[row] = hash(rle["counts"])
    if any(is_self_crossing(polygon) for polygon in polygon_points(segmentation) if len(polygon) > 3):
        findings.append(("self-crossing-polygon", "the outline crosses itself"))
    if area == 1:
        findings.append(("one-pixel-mask", "the mask is a single pixel"))
    return findings


def _why_empty(segmentation: Any, size: tuple[int, int]) -> tuple[str, str]:
    if isinstance(segmentation, dict):
        return "empty-mask", "the RLE has no pixel"
    x0, y0, w, h = _around(segmentation)
    x1, y1 = x0 + w, y0 + h
    place = f"x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"
    if x1 <= 0 or y1 <= 0 or x0 >= size[1] or y0 >= size[0]:
        reason = f"the polygon, {place}, lies outside the image of {size[0]} x {size[1]} (height x width)"
        return "mask-outside-image", reason
    return "empty-mask", f"the polygon, {place}, covers no pixel"


def _around(segmentation: list[Any]) -> tuple[float, float, float, float]:
    """x y width height around the points of well-formed polygons."""
    points = np.concatenate([polygon for polygon in polygon_points(segmentation) if len(polygon) >= 3])
    (x0, y0), (w, h) = points.min(axis=0).tolist(), np.ptp(points, axis=0).tolist()
    return x0, y0, w, h


def _where(records: Records, table: AnnotationTable, row: int) -> str:
    """The picture to look at, for the end of a reason."""
    return f"; in {records.file_names[table.image[row]]}" if table.image[row] >= 0 else ""


def annotation_name(annotation: Any, position: int) -> str:
    """What messages call an annotation: its id, or "number 7" where it has none."""
    name = annotation.get("id") if isinstance(annotation, dict) else None
    return f"number {position}" if name is None else str(name)


def _look_up(places: Mapping[int, int], key: Any) -> int:
    try:
        return places.get(key, -1)
    except TypeError:  # a list or an object is no id
        return -1


def _is_finite(number: Any) -> bool:
    try:
        return isinstance(number, int | float) and math.isfinite(number)
    except OverflowError:  # a whole number that no float holds
        return False
