"""Draw the errors of a result on its picture: what was missed, invented, counted twice, merged or split."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.evaluation.object_errors import ObjectErrors
from maskrcnn.report.text import Color, shorten, stamp, text_block, text_mask
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.polygons import rle_to_polygons

SIDE_PX = 1100
"""Of the longer side: an object of 10 px in a picture of 256 can be judged, and a page of several can be mailed."""
BRIGHT_LEVEL = 150  # mean grey level from which dark colours are easier to see than bright ones
OPACITY = 0.35
FONT_PX = 17
LABEL_PX = 13
_COLORS: dict[str, tuple[Color, Color]] = {  # on a dark picture, on a bright one
    "found": ((120, 190, 120), (40, 110, 40)),
    "missed": ((255, 70, 70), (215, 0, 0)),
    "spurious": ((255, 230, 60), (150, 105, 0)),
    "double": ((245, 95, 255), (175, 0, 175)),
    "wrong class": ((255, 160, 40), (205, 85, 0)),
    "merged": ((70, 190, 255), (0, 70, 215)),
    "split": ((30, 235, 185), (0, 125, 120)),
}
_PANEL: Color = (24, 24, 24)
_INK: Color = (240, 240, 240)
_LABEL_INK: Color = (0, 0, 0)
_SHIFT = 4  # OpenCV takes coordinates in 1 / 2^_SHIFT pixels

LEGEND = (
    "Missed objects are filled, as they were annotated. The rest are outlines as predicted: merged holds two objects "
    "or more, split is a part of one (which has a thin line of that colour, as annotated), double is one more on an "
    "object that is found; what is of a wrong class says what it is and what it was called. What is merged or split is "
    "counted twice here: objects in a merged prediction also as missed, parts of a split object also as spurious, all "
    "but the one that may have been found."
)


def draw_errors(image: np.ndarray, truth: GroundTruth, instances: Instances, errors: ObjectErrors) -> np.ndarray:
    """Return `image`, RGB uint8 (H, W, 3), with longer side `SIDE_PX` and its errors on it, above a legend.

    `errors` are those of `truth` and `instances`, prediction for prediction. One colour for each kind of error; right
    ones have a thin line. Predictions in crowd regions are left out.
    """
    scale = SIDE_PX / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    is_bright = image[:: max(1, image.shape[0] // 256), :: max(1, image.shape[1] // 256)].mean() > BRIGHT_LEVEL
    colors = {name: pair[int(is_bright)] for name, pair in _COLORS.items()}

    kinds = _kinds(errors)
    missed = [rings_of(truth.rles[g], scale) for g in np.flatnonzero(errors.is_missed)]
    tint = canvas.copy()
    for rings in missed:
        cv2.fillPoly(tint, rings, colors["missed"], cv2.LINE_8, _SHIFT)
    canvas = cv2.addWeighted(tint, OPACITY, canvas, 1 - OPACITY, 0)
    for rings in missed:
        draw_outline(canvas, rings, colors["missed"], 1)
    for g in np.flatnonzero(errors.is_split):
        draw_outline(canvas, rings_of(truth.rles[g], scale), colors["split"], 1)
    predicted = instances.rles()
    for name in _COLORS:  # the right ones first, so that the errors are on top
        for d in np.flatnonzero(kinds == name):
            draw_outline(canvas, rings_of(predicted[d], scale), colors[name], 1 if name == "found" else 2)
    for d in np.flatnonzero(errors.is_confused):
        true, taken_for = (instances.class_names[k] for k in (errors.labels[errors.hit[d]], errors.predicted_labels[d]))
        words = text_mask(f"{shorten(true)} called {shorten(taken_for)}", LABEL_PX)[:, :width]
        x0, y0, _, y1 = (instances.boxes[d] * scale).tolist()
        top = y0 - words.shape[0] if y0 >= words.shape[0] else min(y1, height - words.shape[0])
        left = min(max(0, round(x0)), width - words.shape[1])
        stamp(canvas, words, left, max(0, round(top)), _LABEL_INK, colors["wrong class"])
    return np.concatenate([canvas, _legend(errors, colors, width)])


def error_counts(errors: ObjectErrors) -> dict[str, int]:
    """How many there are of each kind. Merged and split ones are counted beside what else they are."""
    return {
        "found": int((errors.hit >= 0).sum()) - int(errors.is_confused.sum()),
        "missed": int(errors.is_missed.sum()),
        "spurious": int(errors.is_spurious.sum()),
        "double": int((errors.double_of >= 0).sum()),
        "wrong class": int(errors.is_confused.sum()),
        "merged": int(errors.is_merged.sum()),
        "split": int(errors.is_split.sum()),
    }


def _kinds(errors: ObjectErrors) -> np.ndarray:
    """(D,) the one kind that each prediction is drawn as; empty for none."""
    kinds = np.full(len(errors.hit), "", dtype="<U12")
    kinds[errors.hit >= 0] = "found"
    kinds[errors.is_confused] = "wrong class"
    kinds[errors.is_spurious] = "spurious"
    kinds[errors.double_of >= 0] = "double"
    kinds[errors.part_of >= 0] = "split"
    kinds[errors.is_merged] = "merged"
    return kinds


def rings_of(rle: Mapping[str, Any], scale: float, origin: tuple[int, int] = (0, 0)) -> list[np.ndarray]:
    """Outlines and holes as OpenCV takes them: its coordinates are those of pixel centres, not of edges.

    `origin` is the pixel (x, y) of the image at which the picture that they are drawn on begins.
    """
    parts = [ring for part in rle_to_polygons(rle) for ring in (part["exterior"], *part["holes"])]
    return [np.rint(((ring - origin) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32) for ring in parts]


def draw_outline(canvas: np.ndarray, parts: Sequence[np.ndarray], color: Color, thickness: int) -> None:
    """Draw what `rings_of` gave onto `canvas`, RGB uint8 (H, W, 3)."""
    cv2.polylines(canvas, parts, True, color, thickness, cv2.LINE_AA, _SHIFT)


def _legend(errors: ObjectErrors, colors: Mapping[str, Color], width: int) -> np.ndarray:
    """A strip below the picture, (h, width, 3)."""
    words = [(f"{name}: {n}", _INK, colors[name]) for name, n in error_counts(errors).items() if n or name == "found"]
    block = text_block(words, FONT_PX, width, _PANEL)[:, :width]
    strip = np.full((block.shape[0], width, 3), _PANEL, np.uint8)
    strip[:, : block.shape[1]] = block
    return strip
