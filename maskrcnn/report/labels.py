"""Number, class and score at the objects that have room for them, so that the image stays to be seen."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from maskrcnn.report.text import Color, shorten, stamp, text_mask
from maskrcnn.structures.instances import Instances

LabelMode = Literal["auto", "all", "id", "class", "score", "none"]

MIN_FONT_PX = 10  # smaller letters cannot be read
SMALL_FONT = 0.7  # of the size of letters at a large object: the size at a small one
# With labels="auto" all objects from a size on are labelled, so that one sees which. It is the least of these, in
# heights of small letters, at which labels cover no more than MAX_LABEL_COVER of the picture; if there is none, none is
# written. A few in a crowd would look like a mark: at less than MIN_LABELLED of the objects none is written either. Of
# one class, words say little, and are written only where most objects have them.
SIZES_WITH_ROOM = (4.0, 6.0, 9.0, 13.0)
MAX_LABEL_COVER = 0.06
MIN_LABELLED = 0.05
MIN_LABELLED_OF_ONE_CLASS = 0.75
# The other objects have their number in their middle, if most have room for theirs: it is there to be looked up.
MIN_NUMBERED = 0.5
MAX_NUMBER_COVER = 0.12


@dataclass(frozen=True)
class LabelPlan:
    """Which objects are labelled, the surest first: letters, uint8, by index of the object."""

    words: dict[int, np.ndarray]
    """Above or inside a box that is drawn."""
    numbers: dict[int, np.ndarray]
    """In the middle of an object without a box."""

    def rule(self, boxes: np.ndarray) -> str:
        """Which objects have their words, where not all have: for the strip. `boxes` are in the pixels of the image."""
        if len(self.words) == len(boxes):
            return ""
        if self.words:
            return (
                f"scores where there is room: on objects from {np.floor(_sides(boxes)[list(self.words)].min()):.0f} px"
            )
        return "too crowded for scores: numbers only" if self.numbers else "too small or too crowded for labels"


def plan_labels(
    size: tuple[int, int], instances: Instances, boxes: np.ndarray, font_px: int, labels: LabelMode
) -> LabelPlan:
    """What is written at which object, on a canvas of `size` (height, width); `boxes` (N, 4) are in its pixels.

    The number is the object's in `instances`, from 1, as in every table and file. "auto" leaves out what has no room:
    the class where there is but one, then all but the number, which stands in the middle of its object without a box,
    then that too. "all" writes all at every object, "id", "class" and "score" one of the three.
    """
    if labels == "none":
        return LabelPlan({}, {})
    sizes = _letter_sizes(boxes, font_px)
    order = np.argsort(-instances.scores.cpu().numpy(), kind="stable").tolist()
    words = _words(instances)
    if labels != "auto":
        masks = {i: text_mask(words[labels][i], int(sizes[i])) for i in order}
        return LabelPlan({}, masks) if labels == "id" else LabelPlan(masks, {})
    masks: dict[int, np.ndarray] = {}
    is_one = len(instances.class_names) == 1
    for spelling in ("all", "id score") if is_one else ("all",):  # the strip below tells the class
        masks = masks or _labels_with_room(size, boxes, sizes, font_px, order, words[spelling], is_one)
    return LabelPlan(masks, _numbers_with_room(size, boxes, [i for i in order if i not in masks], words["id"]))


def draw_labels(
    canvas: np.ndarray,
    plan: LabelPlan,
    boxes: np.ndarray,
    object_colors: list[Color],
    font_px: int,
    labels: LabelMode,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Draw the boxes and write the words and numbers of `plan`.

    `canvas`, RGB uint8 (H, W, 3), is written to; `boxes` (N, 4) are in its pixels; letters are at most `font_px` large.
    `taken` holds rectangles x0 y0 x1 y1 that stay free, and takes up those of the labels.
    """
    masks, numbers, sizes = plan.words, plan.numbers, _letter_sizes(boxes, font_px)
    for i in masks:
        x0, y0, x1, y1 = (round(float(v)) for v in boxes[i])
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), object_colors[i], max(1, int(sizes[i]) // 14))
    for i, mask in [*masks.items(), *numbers.items()]:
        place = _free_place(canvas, boxes[i], mask, taken, labels != "auto", i in numbers)
        if place is None:
            continue
        x, y = place
        color = object_colors[i]
        taken.append((x, y, x + mask.shape[1], y + mask.shape[0]))
        luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
        stamp(canvas, mask, x, y, (0, 0, 0) if luma > 130 else (255, 255, 255), color)


def _sides(boxes: np.ndarray) -> np.ndarray:
    """(N,) the side of a square of the same area."""
    return np.sqrt(np.clip((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0, None))


def _letter_sizes(boxes: np.ndarray, font_px: int) -> np.ndarray:
    smallest = max(MIN_FONT_PX, round(SMALL_FONT * font_px))
    return np.clip(np.rint(_sides(boxes) * 0.15), smallest, font_px).astype(int)


def _words(instances: Instances) -> dict[str, list[str]]:
    """What may be written at each object."""
    names = [shorten(instances.class_names[label]) for label in instances.labels.tolist()]
    scores = [f"{score:.2f}" for score in instances.scores.tolist()]
    numbers = [str(number) for number in range(1, len(names) + 1)]
    return {
        "id": numbers,
        "class": names,
        "score": scores,
        "id score": [" ".join(words) for words in zip(numbers, scores, strict=True)],
        "all": [" ".join(words) for words in zip(numbers, names, scores, strict=True)],
    }


def _labels_with_room(
    canvas_size: tuple[int, int],
    boxes: np.ndarray,
    sizes: np.ndarray,
    font_px: int,
    order: list[int],
    words: list[str],
    is_one_class: bool,
) -> dict[int, np.ndarray]:
    """Letters of `words` for the objects `order` that have room for them; none if they would bury the picture."""
    areas = np.clip((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0, None)
    smallest = max(MIN_FONT_PX, round(SMALL_FONT * font_px))
    large = [i for i in order if areas[i] >= (SIZES_WITH_ROOM[0] * smallest) ** 2]
    allowed = MAX_LABEL_COVER * canvas_size[0] * canvas_size[1]
    masks = {i: text_mask(words[i], int(sizes[i])) for i in large}
    masks = {i: mask for i, mask in masks.items() if mask.shape[1] <= 1.6 * (boxes[i, 2] - boxes[i, 0])}
    for size in SIZES_WITH_ROOM:
        masks = {i: mask for i, mask in masks.items() if areas[i] >= (size * smallest) ** 2}
        if sum(mask.size for mask in masks.values()) <= allowed:
            least = MIN_LABELLED_OF_ONE_CLASS if is_one_class else MIN_LABELLED
            return masks if len(masks) >= least * len(boxes) else {}
    return {}


def _numbers_with_room(
    canvas_size: tuple[int, int], boxes: np.ndarray, order: list[int], words: list[str]
) -> dict[int, np.ndarray]:
    """Letters of the numbers that fit into their objects, all of the smallest size; none where too few do."""
    masks = {i: text_mask(words[i], MIN_FONT_PX) for i in order}
    masks = {
        i: mask
        for i, mask in masks.items()
        if mask.shape[1] <= 0.8 * (boxes[i, 2] - boxes[i, 0]) and mask.shape[0] <= 0.8 * (boxes[i, 3] - boxes[i, 1])
    }
    is_room = sum(mask.size for mask in masks.values()) <= MAX_NUMBER_COVER * canvas_size[0] * canvas_size[1]
    return masks if is_room and len(masks) >= MIN_NUMBERED * len(order) else {}


def _free_place(
    canvas: np.ndarray,
    box: np.ndarray,
    mask: np.ndarray,
    taken: list[tuple[int, int, int, int]],
    is_forced: bool,
    is_inside: bool,
) -> tuple[int, int] | None:
    """Left upper corner for a label, where the picture and other labels leave room: above the box or inside it."""
    height, width = mask.shape
    if height > canvas.shape[0] or width > canvas.shape[1]:
        return None
    left, top = ((box[0] + box[2] - width) / 2, (box[1] + box[3] - height) / 2) if is_inside else (box[0], box[1])
    x = min(max(0, round(float(left))), canvas.shape[1] - width)
    tops = (min(max(0, top), canvas.shape[0] - height),) if is_inside else (top - height, top, box[3] - height)
    places = [(x, round(float(y))) for y in tops]
    places = [(x, y) for x, y in places if 0 <= y <= canvas.shape[0] - height]
    rects = np.array(taken, np.int64).reshape(-1, 4)
    for x, y in places:
        meets = (rects[:, 0] < x + width) & (rects[:, 2] > x) & (rects[:, 1] < y + height) & (rects[:, 3] > y)
        if not meets.any():
            return x, y
    return places[0] if is_forced and places else None
