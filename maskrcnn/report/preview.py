"""A small picture with the outlines of its objects, and the objects of which the network is least sure, for pages of
many images."""

import base64
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.svg import svg_path

SIDE_PX = 320
"""Of the longer side: a gallery shows it at about half of that, so it is sharp on any screen."""
SLIDE_SIDE_PX = 1024
"""The same of a slide: there are few of them in a job."""
QUALITY = 72
LEAST_SURE = 3
"""Objects of an image that are shown by themselves, at most."""
CROP_PX = 96
CROP_MARGIN = 0.35
"""Of the longer side of an object's box, around it."""
MAX_CROP_PIXELS = 16_000_000
"""Of the window around such an object; a larger one is not shown."""
MAX_OUTLINES = 2000
"""Of an image; more would hide it."""

Cut = Callable[[tuple[int, int, int, int]], np.ndarray]
"""Takes y0 x0 y1 x1, gives these pixels, RGB uint8."""


def preview(image: np.ndarray, instances: Instances) -> dict[str, Any]:
    """What a page of many images shows of one, RGB uint8 (H, W, 3), as JSON has it.

    `picture` is WebP in base64 of `size` (width, height); `labels`, `scores` and `paths` (SVG, in its pixels, "" for an
    empty mask) are of the first `MAX_OUTLINES` objects; `unsure` has those of the lowest scores, each with its `number`
    in the image from 1, `label`, `score`, `picture`, `size` and `path`.
    """
    small, scale = _shrunk(image, SIDE_PX)
    unsure = Unsure(instances.image_size)
    unsure.add(instances)
    shown = instances[:MAX_OUTLINES]
    return {
        "picture": _webp(small),
        "size": [small.shape[1], small.shape[0]],
        "labels": shown.labels.tolist(),
        "scores": [round(score, 4) for score in shown.scores.tolist()],
        "paths": [svg_path(crop, scale) for crop in shown.crops()],
        "unsure": unsure.shown(lambda window: image[window[0] : window[2], window[1] : window[3]]),
    }


def slide_preview(plain: np.ndarray, shaded: np.ndarray, unsure: list[dict[str, Any]]) -> dict[str, Any]:
    """The same of a slide: its overview `plain`, and `shaded` where objects are, in place of outlines."""
    small, _ = _shrunk(plain, SLIDE_SIDE_PX)
    return {
        "picture": _webp(small),
        "shaded": _webp(_shrunk(shaded, SLIDE_SIDE_PX)[0]),
        "size": [small.shape[1], small.shape[0]],
        "labels": [],
        "scores": [],
        "paths": [],
        "unsure": unsure,
    }


class Unsure:
    """Takes the objects of an image of (height, width) part after part, and keeps those with the lowest scores."""

    def __init__(self, image_size: tuple[int, int]) -> None:
        self._image_size = image_size
        self._kept: Instances | None = None
        self._numbers: list[int] = []
        self._num = 0

    def add(self, instances: Instances) -> None:
        """The next objects, in the frame of the image."""
        numbers = [*self._numbers, *range(self._num + 1, self._num + len(instances) + 1)]
        self._num += len(instances)
        both = instances if self._kept is None else Instances.concatenate([self._kept, instances])
        order = torch.argsort(both.scores, stable=True)[:LEAST_SURE].tolist()
        self._kept, self._numbers = both[order], [numbers[i] for i in order]

    def shown(self, cut: Cut) -> list[dict[str, Any]]:
        """Each of them with the pixels around it, the least sure first."""
        if self._kept is None:
            return []
        found = []
        rows = zip(
            self._numbers,
            self._kept.labels.tolist(),
            self._kept.scores.tolist(),
            self._kept.boxes.cpu().numpy(),
            self._kept.crops(),
            strict=True,
        )
        for number, label, score, box, (x0, y0, bitmap) in rows:
            window = _window(box, self._image_size)
            if (window[2] - window[0]) * (window[3] - window[1]) > MAX_CROP_PIXELS:
                continue
            small, scale = _shrunk(cut(window), CROP_PX)
            found.append(
                {
                    "number": number,
                    "label": label,
                    "score": round(score, 4),
                    "picture": _webp(small),
                    "size": [small.shape[1], small.shape[0]],
                    "path": svg_path((x0 - window[1], y0 - window[0], bitmap), scale),
                }
            )
        return found


def _window(box: np.ndarray, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """y0 x0 y1 x1 around a box, at least a pixel of the image."""
    x0, y0, x1, y1 = np.nan_to_num(box).tolist()
    margin = CROP_MARGIN * max(x1 - x0, y1 - y0) + 2
    height, width = image_size
    left, top = min(max(0, round(x0 - margin)), width - 1), min(max(0, round(y0 - margin)), height - 1)
    right, low = min(max(left + 1, round(x1 + margin)), width), min(max(top + 1, round(y1 + margin)), height)
    return top, left, low, right


def _shrunk(image: np.ndarray, side_px: int) -> tuple[np.ndarray, float]:
    """`image` with its longer side at most `side_px`, and by what factor."""
    height, width = image.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    if scale == 1:
        return image, 1.0
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), scale


def _webp(image: np.ndarray) -> str:
    _, data = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return base64.b64encode(data.tobytes()).decode("ascii")
