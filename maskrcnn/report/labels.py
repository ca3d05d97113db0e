"""Box, class and score at the objects that have room for them, so that the picture stays to be seen."""

from typing import Literal

import cv2
import numpy as np

from maskrcnn.report.text import Color, shorten, stamp, text_mask
from maskrcnn.structures.instances import Instances

LabelMode = Literal["auto", "all", "none"]

MIN_FONT_PX = 10  # smaller letters cannot be read
SMALL_FONT = 0.7  # of the size of letters at a large object: the size at a small one
# With labels="auto" all objects from a size on are labelled, so that one sees which. It is the least of these, in
# heights of small letters, at which labels cover no more than MAX_LABEL_COVER of the picture; if there is none, none is
# written. A few in a crowd would look like a mark: at less than MIN_LABELLED of the objects none is written either.
SIZES_WITH_ROOM = (4.0, 6.0, 9.0, 13.0)
MAX_LABEL_COVER = 0.06
MIN_LABELLED = 0.05


def draw_labels(
    canvas: np.ndarray,
    instances: Instances,
    boxes: np.ndarray,
    object_colors: list[Color],
    font_px: int,
    labels: LabelMode,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Draw boxes and write `class score` above or inside them, the surest objects first.

    `canvas`, RGB uint8 (H, W, 3), is written to; `boxes` (N, 4) are in its pixels; letters are at most `font_px` large.
    `taken` holds rectangles x0 y0 x1 y1 that stay free, and takes up those of the labels.
    """
    areas = np.clip((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0, None)
    sides = np.sqrt(areas)
    smallest = max(MIN_FONT_PX, round(SMALL_FONT * font_px))
    sizes = np.clip(np.rint(sides * 0.15), smallest, font_px).astype(int)
    names = [f"{shorten(instances.class_names[label])} " for label in instances.labels.tolist()]
    order = [
        int(i)
        for i in np.argsort(-instances.scores.cpu().numpy(), kind="stable")
        if labels == "all" or sides[i] >= SIZES_WITH_ROOM[0] * smallest
    ]
    masks = _label_masks(canvas, instances, boxes, sizes, font_px, order, names, labels)
    if not masks and len(instances.class_names) == 1:  # the strip below tells the class; the score alone is shorter
        masks = _label_masks(canvas, instances, boxes, sizes, font_px, order, [""] * len(boxes), labels)
    for i in masks:
        x0, y0, x1, y1 = (round(float(v)) for v in boxes[i])
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), object_colors[i], max(1, int(sizes[i]) // 14))
    for i, mask in masks.items():
        place = _free_place(canvas, boxes[i], mask, taken, force=labels == "all")
        if place is None:
            continue
        x, y = place
        color = object_colors[i]
        taken.append((x, y, x + mask.shape[1], y + mask.shape[0]))
        luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
        stamp(canvas, mask, x, y, (0, 0, 0) if luma > 130 else (255, 255, 255), color)


def _label_masks(
    canvas: np.ndarray,
    instances: Instances,
    boxes: np.ndarray,
    sizes: np.ndarray,
    font_px: int,
    order: list[int],
    names: list[str],
    labels: LabelMode,
) -> dict[int, np.ndarray]:
    """Letters of `name score` for the objects `order` that have room for them; none if they would bury the picture."""
    scores = instances.scores.tolist()
    masks = {i: text_mask(f"{names[i]}{scores[i]:.2f}", int(sizes[i])) for i in order}
    if labels == "all":
        return masks
    areas = np.clip((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0, None)
    allowed = MAX_LABEL_COVER * canvas.shape[0] * canvas.shape[1]
    masks = {i: mask for i, mask in masks.items() if mask.shape[1] <= 1.6 * (boxes[i, 2] - boxes[i, 0])}
    smallest = max(MIN_FONT_PX, round(SMALL_FONT * font_px))
    for size in SIZES_WITH_ROOM:
        masks = {i: mask for i, mask in masks.items() if areas[i] >= (size * smallest) ** 2}
        if sum(mask.size for mask in masks.values()) <= allowed:
            return masks if len(masks) >= MIN_LABELLED * len(boxes) else {}
    return {}


def _free_place(
    canvas: np.ndarray, box: np.ndarray, mask: np.ndarray, taken: list[tuple[int, int, int, int]], force: bool
) -> tuple[int, int] | None:
    """Left upper corner for a label: above the box or inside it, where the picture and other labels leave room."""
    height, width = mask.shape
    if height > canvas.shape[0] or width > canvas.shape[1]:
        return None
    x = min(max(0, round(float(box[0]))), canvas.shape[1] - width)
    places = [(x, round(float(y))) for y in (box[1] - height, box[1], box[3] - height)]
    places = [(x, y) for x, y in places if 0 <= y <= canvas.shape[0] - height]
    rects = np.array(taken, np.int64).reshape(-1, 4)
    for x, y in places:
        meets = (rects[:, 0] < x + width) & (rects[:, 2] > x) & (rects[:, 1] < y + height) & (rects[:, 3] > y)
        if not meets.any():
            return x, y
    return places[0] if force and places else None
