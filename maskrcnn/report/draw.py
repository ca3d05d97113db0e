"""Draw instances on their picture: translucent masks, contours, boxes, labels and a legend with the counts."""

import math
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from maskrcnn.report.count import count
from maskrcnn.report.palette import palette_for, spread_colors
from maskrcnn.report.text import Color, stamp, text_block, text_mask
from maskrcnn.structures.instances import Instances

LabelMode = Literal["auto", "all", "none"]
ColorMode = Literal["instance", "class"]

MASK_OPACITY = 0.35
FIGURE_SIDE_PX = 1000  # `figure` enlarges smaller pictures to at least this, where a screen shows them well
MAX_FIGURE_SCALE = 8
MIN_FONT_PX = 10  # smaller letters cannot be read
FONT_SHARE = 0.016  # of the longer side: the size of letters at a large object
STRIP_FONT_SHARE = 0.04  # of the shorter side, at most: the letters of a strip must not be larger than the strip
SMALL_FONT = 0.7  # of that: the size at a small object
# With labels="auto" an object has room for a label if it is this many times as large as the small letters ...
ROOM_FOR_TEXT = 4.0
# ... and should all such labels cover more of the picture than MAX_LABEL_COVER, only those no larger than MAX_OWN_COVER
# of their own box are written; or none, if these are still too many. A few in a crowd would look like a mark: at less
# than MIN_LABELLED of the objects none is written.
MAX_LABEL_COVER = 0.06
MAX_OWN_COVER = 0.08
MIN_LABELLED = 0.05
_LEGEND_ENTRIES = 20
_PANEL: Color = (24, 24, 24)
_INK: Color = (240, 240, 240)
_WARNING: Color = (255, 190, 60)


def draw(
    image: np.ndarray,
    instances: Instances,
    *,
    legend: bool = True,
    labels: LabelMode = "auto",
    colors: ColorMode = "instance",
    scale: int = 1,
) -> np.ndarray:
    """Return a new RGB uint8 picture, (scale * H, scale * W, 3): `image`, RGB uint8 (H, W, 3), with `instances` on it.

    - `legend` puts the count of each class into the corner with the fewest objects.
    - `labels`: "auto" draws the box and writes class and score only at objects with room for it; "all" at every object;
      "none" at none.
    - `colors`: "instance" gives neighbours different colours; "class" gives each class its own, shown in the legend.

    Lines and letters follow the size of the picture and of the object. With no instances, no legend and scale 1 the
    result equals `image`.

    Raises:
        ValueError: an image that is not (H, W, 3) uint8, or not of the size that the instances belong to.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}")
    if image.shape[:2] != tuple(instances.image_size):
        raise ValueError(f"expected an image of {instances.image_size}, as the instances have, got {image.shape[:2]}")
    if scale > 1:
        # Masks live in their boxes, so on the enlarged picture they are drawn at its resolution, without steps.
        height, width = image.shape[0] * scale, image.shape[1] * scale
        canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        instances = replace(instances, image_size=(height, width), boxes=instances.boxes * scale)
    else:
        canvas = np.array(image, order="C")

    boxes = instances.boxes.cpu().numpy().astype(np.float64)
    object_colors = _object_colors(image, instances, boxes, colors)
    font_px = _font_px(canvas)
    _draw_masks(canvas, instances, object_colors)

    panel = _legend_panel(canvas, font_px, _legend_entries(image, instances, colors)) if legend else None
    taken = []  # rectangles x0 y0 x1 y1 that labels leave free
    if panel is not None:
        taken.append(_emptiest_corner(canvas, panel, boxes))
    if labels != "none":
        _draw_labels(canvas, instances, boxes, object_colors, font_px, labels, taken)
    if panel is not None:
        x0, y0, x1, y1 = taken[0]
        # The larger of the two, so that what shines through darkens the ground and not the letters.
        canvas[y0:y1, x0:x1] = np.maximum(panel, cv2.addWeighted(canvas[y0:y1, x0:x1], 0.2, panel, 0.8, 0))
    return canvas


def figure(
    image: np.ndarray, instances: Instances, *, labels: LabelMode = "auto", colors: ColorMode = "instance"
) -> np.ndarray:
    """Return the picture for a file or a page, RGB uint8: `draw`'s, enlarged by `figure_scale`, above a strip.

    The strip holds the counts and the limits that the result touched (`instances.ceilings`); there they hide nothing.
    Arguments and errors are those of `draw`.
    """
    canvas = draw(image, instances, legend=False, labels=labels, colors=colors, scale=figure_scale(image.shape[:2]))
    font_px = max(12, round(1.2 * _font_px(canvas)))
    width = max(canvas.shape[1], 12 * font_px)
    blocks = [_legend_entries(image, instances, colors)]
    blocks += [[(word, _WARNING, None) for word in sentence.split()] for sentence in instances.ceilings]
    pictures = [canvas, *(text_block(words, font_px, width, _PANEL) for words in blocks)]
    width = max(picture.shape[1] for picture in pictures)
    page = np.full((sum(picture.shape[0] for picture in pictures), width, 3), _PANEL, np.uint8)
    top = 0
    for picture in pictures:
        page[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0]
    return page


def figure_scale(image_size: tuple[int, ...]) -> int:
    """Whole factor that brings the longer side of (height, width) to `FIGURE_SIDE_PX` or more; 1 for large pictures."""
    return min(MAX_FIGURE_SCALE, math.ceil(FIGURE_SIDE_PX / max(image_size)))


def _font_px(canvas: np.ndarray) -> int:
    longer, shorter = max(canvas.shape[:2]), min(canvas.shape[:2])
    return max(MIN_FONT_PX, round(min(FONT_SHARE * longer, STRIP_FONT_SHARE * shorter)))


def _object_colors(image: np.ndarray, instances: Instances, boxes: np.ndarray, colors: ColorMode) -> list[Color]:
    if colors == "class":
        by_label = _class_colors(image, instances)
        return [by_label[label] for label in instances.labels.tolist()]
    palette = palette_for(image)
    return [(int(r), int(g), int(b)) for r, g, b in palette[spread_colors(boxes, palette)]]


def _class_colors(image: np.ndarray, instances: Instances) -> dict[int, Color]:
    """Colour of each label that is there; the same in every picture unless there are more classes than colours."""
    palette = palette_for(image).tolist()
    present = sorted(set(instances.labels.tolist()))
    few = len(instances.class_names) <= len(palette)
    return {label: tuple(palette[(label if few else i) % len(palette)]) for i, label in enumerate(present)}


def _draw_masks(canvas: np.ndarray, instances: Instances, object_colors: list[Color]) -> None:
    """Tint each object's own window and outline it; large ones first, so that small ones in front of them are seen."""
    crops = instances.crops()
    sides = np.sqrt([bitmap.size for _, _, bitmap in crops])
    # One line width for the picture, as thick lines among thin ones would look like a mark; thinner at tiny objects.
    thickest = min(max(canvas.shape[:2]) / 700, float(np.median(sides)) / 40 if len(sides) else 1.0)
    levels = np.arange(256) * (1.0 - MASK_OPACITY)
    for i in np.argsort(-sides, kind="stable"):
        x0, y0, bitmap = crops[i]
        if not bitmap.size:
            continue
        mask = np.ascontiguousarray(bitmap).view(np.uint8)
        window = canvas[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        table = np.rint(levels[:, None] + MASK_OPACITY * np.array(object_colors[i])).astype(np.uint8)
        cv2.copyTo(cv2.LUT(window, table[None]), mask, window)
        thickness = max(1, round(min(thickest, sides[i] / 12)))
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0))
        cv2.drawContours(canvas, contours, -1, object_colors[i], thickness, cv2.LINE_AA)


def _draw_labels(
    canvas: np.ndarray,
    instances: Instances,
    boxes: np.ndarray,
    object_colors: list[Color],
    font_px: int,
    labels: LabelMode,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Draw boxes and write `class score` above or inside them, the surest objects first."""
    areas = np.clip((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0, None)
    sides = np.sqrt(areas)
    smallest = max(MIN_FONT_PX, round(SMALL_FONT * font_px))
    sizes = np.clip(np.rint(sides * 0.15), smallest, font_px).astype(int)
    names = [f"{_shorten(instances.class_names[label])} " for label in instances.labels.tolist()]
    order = [
        int(i)
        for i in np.argsort(-instances.scores.numpy(), kind="stable")
        if labels == "all" or sides[i] >= ROOM_FOR_TEXT * smallest
    ]
    masks = _label_masks(canvas, instances, boxes, sizes, order, names, labels)
    if not masks and len(instances.class_names) == 1:  # the strip below tells the class; the score alone is shorter
        masks = _label_masks(canvas, instances, boxes, sizes, order, [""] * len(boxes), labels)
    for i in masks:
        x0, y0, x1, y1 = (round(float(v)) for v in boxes[i])
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), object_colors[i], max(1, int(sizes[i]) // 14))
    for i, mask in masks.items():
        place = _free_place(canvas, boxes[i], mask, taken, force=labels == "all")
        if place is None:
            continue
        x, y = place
        color = object_colors[i]
        x1, y1 = x + mask.shape[1], y + mask.shape[0]
        taken.append((x, y, x1, y1))
        canvas[y:y1, x:x1] = color
        luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
        stamp(canvas, mask, x, y, (0, 0, 0) if luma > 130 else (255, 255, 255))


def _label_masks(
    canvas: np.ndarray,
    instances: Instances,
    boxes: np.ndarray,
    sizes: np.ndarray,
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
    if sum(mask.size for mask in masks.values()) > allowed:
        masks = {i: mask for i, mask in masks.items() if mask.size <= MAX_OWN_COVER * areas[i]}
    if sum(mask.size for mask in masks.values()) > allowed or len(masks) < MIN_LABELLED * len(boxes):
        return {}
    return masks


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


def _legend_entries(
    image: np.ndarray, instances: Instances, colors: ColorMode
) -> list[tuple[str, Color, Color | None]]:
    """The total and the number of each class that is there, the most frequent first."""
    squares = _class_colors(image, instances) if colors == "class" else {}
    numbers = [(n, label, name) for label, (name, n) in enumerate(count(instances).items()) if n]
    numbers.sort(key=lambda entry: -entry[0])
    entries: list[tuple[str, Color, Color | None]] = []
    if len(numbers) != 1:
        entries.append((f"{len(instances)} objects", _INK, None))
    for n, label, name in numbers[:_LEGEND_ENTRIES]:
        entries.append((f"{_shorten(name)}: {n}", _INK, squares.get(label)))
    if len(numbers) > _LEGEND_ENTRIES:
        entries.append((f"and {len(numbers) - _LEGEND_ENTRIES} more classes", _INK, None))
    return entries


def _legend_panel(
    canvas: np.ndarray, font_px: int, entries: list[tuple[str, Color, Color | None]]
) -> np.ndarray | None:
    """One entry below the other; None if the picture is too small for that."""
    for size in dict.fromkeys((round(1.2 * font_px), font_px, MIN_FONT_PX)):
        panel = text_block(entries, size, 0, _PANEL)
        if panel.shape[0] <= canvas.shape[0] and panel.shape[1] <= canvas.shape[1]:
            return panel
    return None


def _emptiest_corner(canvas: np.ndarray, panel: np.ndarray, boxes: np.ndarray) -> tuple[int, int, int, int]:
    """Rectangle x0 y0 x1 y1 for the panel in the corner where it covers the least of the boxes."""
    height, width = panel.shape[:2]
    right, bottom = canvas.shape[1] - width, canvas.shape[0] - height

    def covered(corner: tuple[int, int]) -> float:
        x, y = corner
        across = np.minimum(boxes[:, 2], x + width) - np.maximum(boxes[:, 0], x)
        down = np.minimum(boxes[:, 3], y + height) - np.maximum(boxes[:, 1], y)
        return float((np.clip(across, 0, None) * np.clip(down, 0, None)).sum())

    x, y = min(((0, 0), (right, 0), (0, bottom), (right, bottom)), key=covered)
    return x, y, x + width, y + height


def _shorten(name: str, limit: int = 24) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"
