"""Boxes and areas of the file against the images and the masks (A annotations, B boxes)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.problems import Problem, found

EDGE_TOLERANCE_PX = 1.0
"""Boxes may leave the image by this much: tools count the last pixel differently."""
BOX_TOLERANCE_PX = 2.0
BOX_TOLERANCE = 0.05
"""A box agrees with its mask, or the outline that became the mask, if each edge does: to BOX_TOLERANCE_PX and this
share of the longer side."""
AREA_TOLERANCE = 0.1
"""An area agrees with its mask to this share, and to half a pixel all around, which outlines gain or lose in pixels."""


def check_boxes(table: Annotations) -> list[Problem]:
    """What is wrong with `bbox`; what is missing was reported when it was read. Of each box, the worst is said."""
    rows = np.flatnonzero((table.image >= 0) & np.isfinite(table.boxes_xywh).all(axis=1))
    rows = rows[table.sizes[table.image[rows]].all(axis=1)]
    boxes, has_mask = table.boxes_xywh[rows], table.mask_areas[rows] > 0
    corners = _corners(boxes)
    heights, widths = table.sizes[table.image[rows]].T
    limits = np.stack([widths, heights, widths, heights], axis=1)
    over = np.maximum(-corners, corners - limits).max(axis=1, initial=-np.inf)
    agrees = _agree(corners, table, rows)

    problems, told = _check_order(table, rows, limits)
    checks: list[tuple[str, Any, Callable[[int], str]]] = [  # kind, (B,) bool, reason
        (
            "degenerate-box",
            (boxes[:, 2:] <= 0).any(axis=1),
            lambda k: f"the box {_text(boxes[k])} has width {boxes[k, 2]:g} and height {boxes[k, 3]:g}",
        ),
        (
            "normalised-coordinates",
            (boxes >= 0).all(axis=1) & (boxes <= 1).all(axis=1) & (boxes % 1).any(axis=1),
            lambda k: f"the box {_text(boxes[k])} lies in 0..1, expected pixels ({_size(limits[k])})",
        ),
        (
            "box-outside-image",
            (corners[:, :2] >= limits[:, :2]).any(axis=1) | (corners[:, 2:] <= 0).any(axis=1),
            lambda k: f"the box {_text(boxes[k])} lies outside the image ({_size(limits[k])})",
        ),
        (
            "box-over-the-edge",
            over > EDGE_TOLERANCE_PX,
            lambda k: f"the box {_text(boxes[k])} leaves the image ({_size(limits[k])}) by {over[k]:g} px",
        ),
        (
            "box-unlike-mask",
            has_mask & ~agrees,
            lambda k: f"the box is {_text(boxes[k])}, that of the mask {_text(table.mask_boxes_xywh[rows[k]])}",
        ),
    ]
    for kind, is_so, reason in checks:
        for k in np.flatnonzero(is_so & ~told).tolist():
            row = rows[k]
            text = f"{reason(k)}; in {table.file_names[table.image[row]]}"
            problems.append(found(kind, text, table.source, table.names[row], row=int(row)))
        told |= is_so
    return problems


def check_areas(table: Annotations) -> list[Problem]:
    """Where `area` is not the number of pixels of the mask; that of a crowd region is never used."""
    masks = table.mask_areas
    allowed = AREA_TOLERANCE * np.fmax(table.areas, masks) + table.mask_boxes_xywh[:, 2:].sum(axis=1)
    differs = (masks > 0) & ~table.is_crowd & ((np.abs(table.areas - masks) > allowed) | (table.areas <= 0))
    of_box = np.isclose(table.areas, table.boxes_xywh[:, 2] * table.boxes_xywh[:, 3], rtol=0.01)
    problems = []
    for row in np.flatnonzero(differs):
        hint = " (width x height of the box)" if of_box[row] else ""
        reason = f"the area is {table.areas[row]:g}{hint}, the mask has {masks[row]} pixels"
        where = f"; in {table.file_names[table.image[row]]}"
        problems.append(found("area-unlike-mask", reason + where, table.source, table.names[row], row=int(row)))
    return problems


def _check_order(table: Annotations, rows: np.ndarray, limits: np.ndarray) -> tuple[list[Problem], np.ndarray]:
    """Whether the boxes of the file are corners, as its masks say; and which boxes (B,) bool that explains."""
    boxes, has_mask = table.boxes_xywh[rows], table.mask_areas[rows] > 0
    corners = _corners(boxes)
    # Without a mask only the image can tell: what leaves it as x y width height, but not as corners.
    good = np.where(has_mask, _agree(corners, table, rows), _fit(corners, limits))
    good_as_corners = np.where(has_mask, _agree(boxes, table, rows), _fit(boxes, limits))
    is_corners = good_as_corners & ~good
    num_corners, num_sizes = int(is_corners.sum()), int((good & ~good_as_corners).sum())
    if num_corners <= num_sizes:
        return [], np.zeros(len(rows), bool)
    k = int(is_corners.argmax())
    reason = (
        f"{num_corners} of {len(table.names)} boxes make sense only as corners x0 y0 x1 y1, "
        f"{num_sizes} only as x y width height; the first is {_text(boxes[k])}"
    )
    if has_mask[k]:
        reason += f", whose mask has the box {_text(table.mask_boxes_xywh[rows[k]])}"
    return [found("xyxy-boxes", reason, table.source, table.names[rows[k]], row=int(rows[k]))], is_corners


def _agree(corners: np.ndarray, table: Annotations, rows: np.ndarray) -> np.ndarray:
    agrees = np.zeros(len(rows), bool)
    for others in (table.mask_boxes_xywh[rows], table.outline_boxes_xywh[rows]):
        off = np.abs(corners - _corners(others)).max(axis=1, initial=0)
        agrees |= off <= BOX_TOLERANCE_PX + BOX_TOLERANCE * others[:, 2:].max(axis=1, initial=0)
    return agrees


def _fit(corners: np.ndarray, limits: np.ndarray) -> np.ndarray:
    is_inside = (corners >= -EDGE_TOLERANCE_PX) & (corners <= limits + EDGE_TOLERANCE_PX)
    return np.logical_and(is_inside.all(axis=1), (corners[:, 2:] > corners[:, :2]).all(axis=1))


def _corners(boxes: np.ndarray) -> np.ndarray:
    """x y width height (B, 4) -> x0 y0 x1 y1 (B, 4)."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _text(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{number:g}" for number in box) + "]"


def _size(limit: np.ndarray) -> str:
    return f"{limit[1]:g} x {limit[0]:g}, height x width"
