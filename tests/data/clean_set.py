"""A small COCO set of two splits in which nothing is wrong."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn.structures.rle import encode

HEIGHT, WIDTH = 40, 60


@dataclass
class CocoSet:
    """Two splits in one folder; what is spoilt is `coco`, the first."""

    folder: Path
    coco: dict[str, Any]
    val: dict[str, Any]

    def annotation(self, annotation_id: int) -> dict[str, Any]:
        return next(a for a in self.coco["annotations"] if a["id"] == annotation_id)

    def write(self) -> Path:
        path = self.folder / "train.json"
        path.write_text(json.dumps(self.coco))
        return path


def clean_set(folder: Path) -> CocoSet:
    """Train: 1.png with annotations 1 (polygon) and 2 (RLE with a hole), 2.png with 3 (crowd) and 4 (two polygons),
    and annotations 5 and 6 (RLE); val: 3.png with annotation 1 and 2. Classes 3 nut and 7 fig."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in (1, 2, 3):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    ring = disc(20, 30, 9) & ~disc(20, 30, 3)
    annotations = [
        polygons(1, 1, [[4, 4, 20, 4, 20, 18, 4, 18]]),
        mask(2, 1, ring, category_id=3),
        mask(3, 2, disc(12, 12, 8), iscrowd=1),
        polygons(4, 2, [[30, 5, 50, 5, 50, 20], [30, 25, 50, 25, 40, 35]]),
        mask(5, 2, disc(30, 12, 6), category_id=3),
        mask(6, 1, disc(8, 50, 5)),
    ]
    val = [polygons(1, 3, [[10, 10, 30, 12, 25, 33]]), mask(2, 3, disc(20, 45, 9), category_id=3)]
    return CocoSet(folder, _coco([1, 2], annotations), _coco([3], val))


def _coco(images: list[int], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in images],
        "categories": [{"id": 3, "name": "nut"}, {"id": 7, "name": "fig"}],
        "annotations": annotations,
    }


def disc(y: float, x: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    return (ys - y) ** 2 + (xs - x) ** 2 <= radius**2


def mask(annotation_id: int, image_id: int, bitmap: np.ndarray, **more: Any) -> dict[str, Any]:
    ys, xs = bitmap.nonzero()
    x, y = int(xs.min()), int(ys.min())
    box = [x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y]
    area = int(bitmap.sum())
    return _annotation(annotation_id, image_id, segmentation=encode(bitmap), bbox=box, area=area, **more)


def polygons(annotation_id: int, image_id: int, parts: list[list[float]], **more: Any) -> dict[str, Any]:
    points = np.concatenate([np.reshape(part, (-1, 2)) for part in parts])
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    area = sum(abs(_shoelace(np.reshape(part, (-1, 2)))) for part in parts)
    box = [x0, y0, x1 - x0, y1 - y0]
    return _annotation(annotation_id, image_id, segmentation=parts, bbox=box, area=area, **more)


def _annotation(annotation_id: int, image_id: int, **more: Any) -> dict[str, Any]:
    return {"id": annotation_id, "image_id": image_id, "category_id": 7, "iscrowd": 0, **more}


def _shoelace(points: np.ndarray) -> float:
    x, y = points.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
