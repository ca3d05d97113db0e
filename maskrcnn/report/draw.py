"""Draw instances on their picture: translucent masks, contours, boxes, labels and a legend with the counts."""

import math
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from maskrcnn.report.count import count
from maskrcnn.report.labels import MIN_FONT_PX, LabelMode, LabelPlan, draw_labels, plan_labels
from maskrcnn.report.palette import palette_for, spread_colors
from maskrcnn.report.text import PANEL, Color, page_above_strip, shorten, text_block
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs

ColorMode = Literal["instance", "class"]

MASK_OPACITY = 0.35
FIGURE_SIDE_PX = 1000  # `figure` enlarges smaller pictures to at least this, where a screen shows them well
MAX_FIGURE_SCALE = 8
FONT_SHARE = 0.016  # of the longer side: the size of letters at a large object
STRIP_FONT_SHARE = 0.04  # of the shorter side, at most: the letters of a strip must not be larger than the strip
_LEGEND_ENTRIES = 20
LEGEND_PLACES = 9  # on each side of the picture, that a legend is tried at
INK: Color = (240, 240, 240)
WARNING: Color = (255, 190, 60)


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

    - `legend` puts the count of each class where it covers the least of the objects, in a corner if it can be.
    - `labels`: "auto" draws the box and writes number, class and score at objects with room for it: all from a size on,
      which is larger where there are many; where there is room for none, only the numbers into the objects, or nothing.
      "all" writes them at every object, "id", "class" or "score" one of them; "none" none. The number is that of
      `maskrcnn.measure` and of every file: 1 for the first of `instances`.
    - `colors`: "instance" gives neighbours different colours; "class" gives each class its own, shown in the legend.

    Lines and letters follow the size of the picture and of the object. With no instances, no legend and scale 1 the
    result equals `image`.

    Raises:
        ValueError: an image that is not (H, W, 3) uint8, or not of the size that the instances belong to.
    """
    _check(image, instances)
    canvas = np.empty((scale * image.shape[0], scale * image.shape[1], 3), np.uint8)
    _draw_on(canvas, image, instances, legend, labels, colors)
    return canvas


def figure(
    image: np.ndarray, instances: Instances, *, labels: LabelMode = "auto", colors: ColorMode = "instance"
) -> np.ndarray:
    """Return the picture for a file or a page, RGB uint8: `draw`'s, enlarged by `figure_scale`, above a strip.

    The strip holds the counts, which objects have labels where not all have, and the limits that the result touched
    (`instances.ceilings`); there they hide nothing.
    Arguments and errors are those of `draw`.
    """
    _check(image, instances)
    scale = figure_scale(image.shape[:2])
    height, width = scale * image.shape[0], scale * image.shape[1]
    boxes = instances.boxes.cpu().numpy().astype(np.float64)
    plan = plan_labels((height, width), instances, boxes * scale, font_size((height, width)), labels)
    words = [_legend_entries(image, instances, colors)]
    if labels == "auto" and (rule := plan.rule(boxes)):
        words.append([(word, INK, None) for word in rule.split()])
    words += [[(word, WARNING, None) for word in sentence.split()] for sentence in instances.ceilings]
    page, canvas = page_above_strip((height, width), words, max(12, round(1.2 * font_size((height, width)))))
    _draw_on(canvas, image, instances, False, labels, colors, plan)
    return page


def figure_scale(image_size: tuple[int, ...]) -> int:
    """Whole factor that brings the longer side of (height, width) to `FIGURE_SIDE_PX` or more; 1 for large pictures."""
    return min(MAX_FIGURE_SCALE, math.ceil(FIGURE_SIDE_PX / max(image_size)))


def _check(image: np.ndarray, instances: Instances) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a (H, W, 3) uint8 RGB image, got {image.shape} {image.dtype}")
    if image.shape[:2] != tuple(instances.image_size):
        raise ValueError(f"expected an image of {instances.image_size}, as the instances have, got {image.shape[:2]}")


def _draw_on(
    canvas: np.ndarray,
    image: np.ndarray,
    instances: Instances,
    legend: bool,
    labels: LabelMode,
    colors: ColorMode,
    plan: LabelPlan | None = None,
) -> None:
    """Fill `canvas`, a whole number of times as large as `image`, with the picture that `draw` describes.

    `plan` has the labels, where they are chosen already.
    """
    height, width = canvas.shape[:2]
    if canvas.shape == image.shape:
        np.copyto(canvas, image)
    else:
        # Masks live in their boxes, so on the enlarged picture they are drawn at its resolution, without steps.
        canvas[:] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        scale = height // image.shape[0]
        pixels = instances.pixels and _enlarged(instances.pixels, scale)
        instances = replace(
            instances, image_size=(height, width), boxes=instances.boxes * scale, pixels=pixels, maps={}
        )

    boxes = instances.boxes.cpu().numpy().astype(np.float64)
    object_colors = _object_colors(image, instances, boxes, colors)
    font_px = font_size(canvas.shape[:2])
    _draw_masks(canvas, instances, object_colors)

    panel = legend_panel(canvas, font_px, _legend_entries(image, instances, colors)) if legend else None
    taken = []  # rectangles x0 y0 x1 y1 that labels leave free
    if panel is not None:
        taken.append(legend_corner(canvas, panel, boxes))
    if labels != "none":
        plan = plan or plan_labels((height, width), instances, boxes, font_px, labels)
        draw_labels(canvas, plan, boxes, object_colors, font_px, labels, taken)
    if panel is not None:
        put_legend(canvas, panel, taken[0])


def _enlarged(pixels: Runs, scale: int) -> Runs:
    """The masks with every pixel `scale` times as wide and high."""
    height, width = pixels.image_size
    crops = [
        (x0 * scale, y0 * scale, bitmap.repeat(scale, axis=0).repeat(scale, axis=1))
        for x0, y0, bitmap in pixels.crops()
    ]
    return Runs.of_crops(crops, (height * scale, width * scale))


def font_size(size: tuple[int, ...]) -> int:
    """Letters at a large object, px, in a picture of (height, width)."""
    longer, shorter = max(size), min(size)
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
    for i in np.argsort(-sides, kind="stable"):
        thickness = max(1, round(min(thickest, sides[i] / 12)))
        x0, y0, bitmap = crops[i]
        draw_mask(canvas, x0, y0, bitmap, object_colors[i], thickness)


def draw_mask(canvas: np.ndarray, x0: int, y0: int, bitmap: np.ndarray, color: Color, thickness: int = 1) -> None:
    """Tint and outline one mask on `canvas`, RGB uint8 (H, W, 3); what lies outside of it is left out.

    Args:
        x0, y0: where the bool `bitmap` (h, w) has its first pixel.
    """
    top, left = max(-y0, 0), max(-x0, 0)
    window = canvas[y0 + top : max(y0 + bitmap.shape[0], 0), x0 + left : max(x0 + bitmap.shape[1], 0)]
    if not window.size:
        return
    mask = bitmap.view(np.uint8)
    inside = mask[top : top + window.shape[0], left : left + window.shape[1]]
    tint = np.arange(256)[:, None] * (1.0 - MASK_OPACITY) + MASK_OPACITY * np.array(color)
    cv2.copyTo(cv2.LUT(window, np.rint(tint).astype(np.uint8)[None]), inside, window)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0))
    cv2.drawContours(canvas, contours, -1, color, thickness, cv2.LINE_AA)


def _legend_entries(
    image: np.ndarray, instances: Instances, colors: ColorMode
) -> list[tuple[str, Color, Color | None]]:
    """The total and the number of each class that is there, the most frequent first."""
    squares = _class_colors(image, instances) if colors == "class" else {}
    numbers = [(n, label, name) for label, (name, n) in enumerate(count(instances).items()) if n]
    numbers.sort(key=lambda entry: -entry[0])
    entries: list[tuple[str, Color, Color | None]] = []
    if len(numbers) != 1:
        entries.append((f"{len(instances)} objects", INK, None))
    for n, label, name in numbers[:_LEGEND_ENTRIES]:
        entries.append((f"{shorten(name)}: {n}", INK, squares.get(label)))
    if len(numbers) > _LEGEND_ENTRIES:
        entries.append((f"and {len(numbers) - _LEGEND_ENTRIES} more classes", INK, None))
    return entries


def legend_panel(canvas: np.ndarray, font_px: int, entries: list[tuple[str, Color, Color | None]]) -> np.ndarray | None:
    """One entry below the other; None if the picture is too small for that."""
    for size in dict.fromkeys((round(1.2 * font_px), font_px, MIN_FONT_PX)):
        panel = text_block(entries, size, 0, PANEL)
        if panel.shape[0] <= canvas.shape[0] and panel.shape[1] <= canvas.shape[1]:
            return panel
    return None


def legend_corner(canvas: np.ndarray, panel: np.ndarray, boxes: np.ndarray) -> tuple[int, int, int, int]:
    """Rectangle x0 y0 x1 y1 for the panel at the border where it covers the least of the boxes."""
    height, width = panel.shape[:2]
    right, bottom = canvas.shape[1] - width, canvas.shape[0] - height
    across = np.linspace(0, right, LEGEND_PLACES).round().astype(int)
    down = np.linspace(0, bottom, LEGEND_PLACES).round().astype(int)
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
    sides = [(x, y) for x in across for y in (0, bottom)] + [(x, y) for y in down for x in (0, right)]
    places = np.array([*corners, *sides])[:, None]  # (L, 1, 2)
    ends = places + np.array([width, height])
    overlap = np.minimum(boxes[:, 2:], ends) - np.maximum(boxes[:, :2], places)  # (L, N, 2)
    covered = np.clip(overlap, 0, None).prod(axis=2).sum(axis=1)
    x, y = places[int(covered.argmin()), 0].tolist()  # of equals the first, a corner
    return x, y, x + width, y + height


def put_legend(canvas: np.ndarray, panel: np.ndarray, place: tuple[int, int, int, int]) -> None:
    """The panel at the rectangle x0 y0 x1 y1, so that a little of the canvas shines through its ground."""
    x0, y0, x1, y1 = place
    # The larger of the two, so that what shines through darkens the ground and not the letters.
    canvas[y0:y1, x0:x1] = np.maximum(panel, cv2.addWeighted(canvas[y0:y1, x0:x1], 0.2, panel, 0.8, 0))
