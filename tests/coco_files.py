"""Small COCO sets on disk, and a small checkpoint, for the tests of what reads files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.model.build import build_model
from maskrcnn.structures.rle import encode
from tests.tiny import CLASS_NAMES, Shape, scene, tiny_settings

CATEGORY_IDS = (3, 7)
# Without a norm in the pyramid: group norm cannot take the 1 x 1 levels of a picture of 32 px with 1 channel a group.
SMALL: dict[str, dict[str, Any]] = {
    "fpn": {"channels": 32, "norm": "none"},
    "detection": {"score_threshold": 0.2, "max_detections": 20},
}
TRAIN_SCENES: tuple[Sequence[Shape], ...] = (
    [("square", 6, 8, 20), ("disc", 34, 30, 24)],
    [("disc", 10, 12, 30)],
    [],
    [("square", 30, 4, 28), ("square", 4, 36, 18)],
)
VAL_SCENES: tuple[Sequence[Shape], ...] = ([("square", 20, 20, 24)], [("disc", 4, 30, 26), ("square", 38, 6, 16)])


def write_coco(
    folder: Path,
    name: str,
    scenes: Sequence[Sequence[Shape]],
    *,
    size: tuple[int, int] = (64, 64),
    class_names: Sequence[str] = CLASS_NAMES,
) -> Path:
    """Write `folder`/`name`.json and its pictures, `folder`/images/`name`_<i>.png; gives the JSON's path."""
    images, annotations = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for image_id, shapes in enumerate(scenes, start=1):
        picture, targets = scene(shapes, size)
        file_name = f"{name}_{image_id}.png"
        Image.fromarray(picture).save(folder / "images" / file_name)
        images.append({"id": image_id, "file_name": file_name, "height": size[0], "width": size[1]})
        masks = targets.masks
        for i, (x0, y0, x1, y1) in enumerate(masks.windows.tolist()):
            bitmap = np.zeros(size, bool)
            bitmap[y0:y1, x0:x1] = masks.pixels[masks.offsets[i] : masks.offsets[i + 1]].reshape(y1 - y0, x1 - x0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORY_IDS[int(targets.labels[i])],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(bitmap.sum()),
                    "iscrowd": 0,
                    "segmentation": encode(bitmap),
                }
            )
    categories = [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, class_names, strict=True)]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def write_checkpoint(path: Path) -> Path:
    """A model with random weights that finds something everywhere."""
    settings = tiny_settings("maskrcnn", **SMALL).model_copy(update={"category_ids": CATEGORY_IDS})
    torch.manual_seed(1)
    save_checkpoint(path, build_model(settings).state_dict(), settings, {"note": "random weights"})
    return path


def write_label_images(folder: Path, num: int) -> None:
    """`num` pictures in `folder`/images, and in `folder`/masks for each an image with a value for each object."""
    for i in range(num):
        picture, targets = scene([("square", 6, 8, 20), ("disc", 34, 30 - 2 * i, 24)], (64, 64))
        labels = np.zeros((64, 64), np.uint8)
        masks = targets.masks
        for g, (x0, y0, x1, y1) in enumerate(masks.windows.tolist()):
            bitmap = masks.pixels[masks.offsets[g] : masks.offsets[g + 1]].reshape(y1 - y0, x1 - x0).numpy() > 0
            labels[y0:y1, x0:x1][bitmap] = g + 1
        for name, pixels in (("images", picture), ("masks", labels)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
