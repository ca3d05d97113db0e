"""Write results for other programs: counts as CSV, detections as COCO JSON, pictures; a file is never half written."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.structures.instances import Instances


def counts_csv(path: str | Path, rows: Sequence[tuple[str, Mapping[str, int]]]) -> None:
    """Write one line per image: `file`, one column per class, `total`. A class that a row lacks is written as 0.

    `rows` are (file name, count by class name). The table is UTF-8 and holds no line of sums.
    """
    names = list(dict.fromkeys(name for _, counts in rows for name in counts))
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", *names, "total"])
    for file_name, counts in rows:
        table.writerow([file_name, *(counts.get(name, 0) for name in names), sum(counts.values())])
    _write(path, text.getvalue().encode())


def coco_dict(
    results: Iterable[tuple[str, Instances]], class_names: Sequence[str], category_ids: Sequence[int] | None = None
) -> dict[str, Any]:
    """COCO dataset of the detections in `results`, (file name, instances) of each image, that `pycocotools` opens.

    Masks are compressed RLE, `area` counts their pixels, `bbox` is x y width height of the predicted box, unrounded.
    `category_ids` gives the COCO id of each label, 1..K by default. Images are numbered 1, 2, ... as they come, and
    `results` is gone through once, so that it may make one at a time.

    Raises:
        ValueError: results with other class names, or not one distinct category id for each class.
    """
    class_names = tuple(class_names)
    ids = list(range(1, len(class_names) + 1)) if category_ids is None else [int(i) for i in category_ids]
    if len(ids) != len(class_names) or len(set(ids)) != len(ids):
        raise ValueError(f"expected {len(class_names)} distinct category ids, one for each class, got {ids}")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (file_name, instances) in enumerate(results, start=1):
        if instances.class_names != class_names:
            raise ValueError(f"{file_name}: expected the classes {class_names}, got {instances.class_names}")
        height, width = instances.image_size
        images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        boxes = instances.boxes.tolist()
        labels = instances.labels.tolist()
        scores = instances.scores.tolist()
        for box, label, score, area, rle in zip(
            boxes, labels, scores, instances.areas().tolist(), instances.rles(), strict=True
        ):
            x0, y0, x1, y1 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[label],
                    "score": score,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": rle,
                }
            )
    categories = [{"id": i, "name": name} for i, name in zip(ids, class_names, strict=True)]
    info = {"description": "Objects found by Mask R-CNN"}
    return {"info": info, "images": images, "categories": categories, "annotations": annotations}


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as compact UTF-8 JSON.

    Raises:
        ValueError: a NaN or an infinity, which JSON cannot hold.
    """
    _write(path, json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an RGB uint8 (H, W, 3) picture in the format that the extension of `path` names.

    Raises:
        ValueError: an extension that OpenCV cannot write.
    """
    suffix = Path(path).suffix
    if not suffix or not cv2.haveImageWriter(f"x{suffix}"):
        raise ValueError(f"{path}: expected a picture's extension such as .png or .jpg, got {suffix!r}")
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    _write(path, data.data)


def _write(path: str | Path, data: bytes | memoryview) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
