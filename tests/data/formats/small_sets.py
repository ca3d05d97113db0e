"""Pictures on disk, and what a reader made of their annotations, for the tests of annotation formats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.reading import load_annotations
from maskrcnn.structures.rle import decode

SHARED = Path(__file__).parents[4] / "shared" / "data"
HEIGHT, WIDTH = 60, 80


def shared(name: str) -> Path:
    """A folder of real data, where there is one."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is not here")
    return SHARED / name


def write_picture(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH), orientation: int = 1) -> Path:
    """A grey picture, stored with the (height, width) given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (size[1], size[0]), (90, 120, 90)).save(path, exif=exif)
    return path


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_values(path: Path, values: np.ndarray) -> Path:
    """A mask of numbers, in the depth of the array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def box_mask(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def masks_of(annotations: Annotations, tmp_path: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """(class name, mask) of each object, by file name, as a training loads them; looks that all is consistent."""
    coco = annotations.coco
    dataset = load_annotations(write_json(tmp_path / "loaded.json", coco), annotations.image_folder)
    for mine, again in ((annotations.rle_bytes, dataset.rle_bytes), (annotations.labels, dataset.labels)):
        np.testing.assert_array_equal(mine, again)
    assert [record["id"] for record in coco["images"]] == list(range(1, len(coco["images"]) + 1))
    assert [one["id"] for one in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    result = {}
    for index, file_name in enumerate(dataset.file_names):
        assert dataset.load(index).image.shape[:2] == dataset.size(index)
        rows = dataset.rows(index).tolist()
        masks = [decode(dataset.rle(row)) for row in rows]
        result[file_name] = [
            (dataset.class_names[dataset.labels[row]], mask) for row, mask in zip(rows, masks, strict=True)
        ]
        for row, mask in zip(rows, masks, strict=True):
            annotation = coco["annotations"][row]
            assert annotation["area"] == mask.sum()
            tight: Any = pycocotools.mask.encode(np.asfortranarray(mask))
            assert annotation["bbox"] == pycocotools.mask.toBbox(tight).tolist()
    return result


def kinds_of(annotations: Annotations) -> list[str]:
    return [problem.kind for problem in annotations.problems]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())
