"""A slide on one page: the picture in small, the objects' outlines where they can be seen, and how dense they lie."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from maskrcnn.report.draw import INK, WARNING, font_size
from maskrcnn.report.measure import ON_A_MAP_UM
from maskrcnn.report.palette import palette_for
from maskrcnn.report.text import PANEL, Color, page_above_strip, shorten, stamp, text_mask
from maskrcnn.structures.instances import Instances

OVERVIEW_PX = 4096
"""Longer side of an overview, at most."""
OUTLINED = 0.2
"""Scale of an overview from which outlines are drawn: those of smaller ones are specks."""
CELLS = 64
"""Of the density map along the longer side."""
OPACITY = 0.55
"""Of the density map where it is densest."""
MAX_CLASSES = 20
"""In the strip."""
_SHIFT = 4  # OpenCV takes coordinates in 1 / 2^_SHIFT pixels


class Overview:
    """Takes the objects of a slide as they come, and keeps no more of them than lines and numbers in a grid.

    Args:
        image: the slide in small, RGB uint8 (h, w, 3).
        image_size: (height, width) of the slide.
    """

    def __init__(self, image: np.ndarray, image_size: tuple[int, int]) -> None:
        self._canvas, self._size = image.copy(), image_size
        self._scale = image.shape[1] / image_size[1]
        cell = max(image_size) / CELLS
        self._cell_px = cell
        self._grid = np.zeros([max(1, round(side / cell)) for side in image_size], np.float32)
        self._outlines: list[np.ndarray] = []
        self._colors = palette_for(image)

    def add(self, instances: Instances) -> None:
        """Objects in the frame of the slide."""
        boxes = instances.boxes.numpy()
        middles = (boxes[:, 1::2].mean(axis=1), boxes[:, ::2].mean(axis=1))
        rows, columns = (
            np.clip(middle * num / side, 0, num - 1).astype(int)
            for middle, num, side in zip(middles, self._grid.shape, self._size, strict=True)
        )
        np.add.at(self._grid, (rows, columns), 1)
        if self._scale < OUTLINED:
            return
        for x0, y0, bitmap in instances.crops():
            if bitmap.size:
                contours, _ = cv2.findContours(
                    bitmap.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0)
                )
                points = [((ring + 0.5) * self._scale - 0.5) * (1 << _SHIFT) for ring in contours]
                self._outlines += [np.rint(ring).astype(np.int32) for ring in points]

    def shaded(self) -> tuple[np.ndarray, np.ndarray]:
        """The slide in small, and the same with the density map on it."""
        density = self._density()
        densest = float(density.max())
        return self._canvas, _tinted(self._canvas, density / densest) if densest > 0 else self._canvas

    def _density(self) -> np.ndarray:
        return cv2.GaussianBlur(self._grid, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)

    def page(
        self, counts: Mapping[str, int], ceilings: Sequence[str] = (), pixel_size_um: tuple[float, float] | None = None
    ) -> np.ndarray:
        """RGB uint8: the overview above a strip with the counts, the limits that were reached, and what colours mean.

        Args:
            counts: by class name.
            pixel_size_um: height and width of a pixel; with it density is per square millimetre, else per megapixel.
        """
        height, width = self._canvas.shape[:2]
        font_px = max(12, round(1.2 * font_size((height, width))))
        found = sorted(((n, name) for name, n in counts.items() if n), reverse=True)
        words = [(f"{sum(counts.values())} objects", INK, None)] * (len(found) != 1)
        words += [(f"{shorten(name)}: {n}", INK, None) for n, name in found[:MAX_CLASSES]]
        words += [(f"and {len(found) - MAX_CLASSES} more classes", INK, None)] * (len(found) > MAX_CLASSES)
        lines: list[Sequence[tuple[str, Color, Color | None]]] = [words]
        lines += [[(word, WARNING, None) for word in sentence.split()] for sentence in ceilings]
        density = self._density()
        densest = float(density.max())
        bar = self._bar(densest, pixel_size_um, font_px, width) if densest > 0 else np.empty((0, width, 3), np.uint8)
        page, room = page_above_strip((height, width), lines, font_px)
        room[:] = _tinted(self._canvas, density / densest) if densest > 0 else self._canvas
        thickness = max(1, round(max(height, width) / 4096))
        for i, ring in enumerate(self._outlines):
            color = self._colors[i % len(self._colors)].tolist()
            cv2.polylines(room, [ring], True, color, thickness, cv2.LINE_AA, _SHIFT)
        if page.shape[1] > width:
            bar = cv2.copyMakeBorder(bar, 0, 0, 0, page.shape[1] - width, cv2.BORDER_CONSTANT, value=PANEL)
        return np.concatenate([page, bar])

    def _bar(self, densest: float, pixel_size_um: tuple[float, float] | None, font_px: int, width: int) -> np.ndarray:
        """The colours of the map, from none to the densest, and what they stand for."""
        cell_area = (self._size[0] / self._grid.shape[0]) * (self._size[1] / self._grid.shape[1])
        if pixel_size_um is None:
            unit, area = "megapixel", cell_area / 1e6
        else:
            is_map = max(pixel_size_um) >= ON_A_MAP_UM
            unit, unit_um2 = ("hectare", 1e16) if is_map else ("mm\u00b2", 1e6)
            area = cell_area * pixel_size_um[0] * pixel_size_um[1] / unit_um2
        first, last = text_mask("0", font_px), text_mask(f"{densest / area:.3g} objects per {unit}", font_px)
        pad = max(3, font_px // 2)
        bar = np.full((first.shape[0] + pad, width, 3), PANEL, np.uint8)
        length = min(width // 3, width - first.shape[1] - last.shape[1] - 4 * pad)
        if length < pad:
            return bar[:0]
        left = 2 * pad + first.shape[1]
        ramp = np.linspace(0, 1, length, dtype=np.float32)[None]
        bar[:font_px, left : left + length] = _tinted(np.full((font_px, length, 3), 128, np.uint8), ramp)
        stamp(bar, first, pad, 0, INK, PANEL)
        stamp(bar, last, left + length + pad, 0, INK, PANEL)
        return bar


def _tinted(image: np.ndarray, density: np.ndarray) -> np.ndarray:
    """`image` with a colour where objects are: the denser, the more of it; `density` is 0..1 on a grid of its own."""
    out = np.empty_like(image)
    height, width = image.shape[:2]
    rows = 256
    fine = cv2.resize(density, (width, height), interpolation=cv2.INTER_LINEAR)
    for row in range(0, height, rows):
        part = np.clip(fine[row : row + rows], 0, 1)
        colors = cv2.applyColorMap(np.rint(part * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
        opacity = (OPACITY * np.sqrt(part))[..., None]
        out[row : row + rows] = np.rint(image[row : row + rows] * (1 - opacity) + colors * opacity)
    return out
