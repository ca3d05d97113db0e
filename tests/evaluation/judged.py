"""A small evaluation of any number of classes, for the tests of what shows one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from maskrcnn.evaluation.evaluate import evaluate
from maskrcnn.evaluation.evaluation import Evaluation
from maskrcnn.report.written import write_json
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import encode

SIZE = (24, 64)


def evaluation_of(
    folder: Path, num_classes: int, num_images: int = 3, *, is_empty: bool = False, names: tuple[str, ...] = ()
) -> Evaluation:
    """In every image one object of each class up to five, each of them found, and called the class before it."""
    plain = tuple(f"class <{k}>" for k in range(num_classes))
    boxes = [(12 * k, 2, 12 * k + 10, 20) for k in range(min(5, num_classes))]
    annotations, images, results = [], [], {}
    for image_id in range(num_images):
        images.append(
            {"id": image_id, "file_name": f"{image_id}.png", "height": 24, "width": 64, "kind": "ab"[image_id % 2]}
        )
        for k, (x0, y0, x1, y1) in enumerate([] if is_empty else boxes):
            bitmap = np.zeros(SIZE, bool)
            bitmap[y0:y1, x0:x1] = True
            annotations.append(
                {"id": len(annotations), "image_id": image_id, "category_id": k, "segmentation": encode(bitmap)}
            )
        found = [] if is_empty else boxes
        results[image_id] = Instances(
            image_size=SIZE,
            boxes=torch.tensor(found, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([max(k - 1, 0) for k in range(len(found))], dtype=torch.int64),
            scores=torch.linspace(0.9, 0.6, len(found)),
            mask_probs=torch.ones(len(found), 28, 28),
            class_names=plain,
        )
    categories = [{"id": k, "name": name} for k, name in enumerate(plain)]
    path = folder / "annotations.json"
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    key = "kind" if num_images else None
    evaluation = evaluate(results, path, range(num_classes), 100, 0.5, group_key=key, seconds_per_image=1.25)
    return replace(evaluation, class_names=names or plain)
