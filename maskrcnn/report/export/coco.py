"""COCO JSON of what was found, which `pycocotools` and most tools open."""

from collections.abc import Iterable, Sequence
from typing import Any

from maskrcnn.structures.instances import Instances
from maskrcnn.untrusted.names import utf8

DESCRIPTION = "Objects found by Mask R-CNN"


def coco_dict(
    results: Iterable[tuple[str, Instances]], class_names: Sequence[str], category_ids: Sequence[int] | None = None
) -> dict[str, Any]:
    """COCO dataset of the detections in `results`, (file name, instances) of each image, that `pycocotools` opens.

    Masks are compressed RLE, `area` counts their pixels, `bbox` is x y width height of the predicted box, unrounded.
    `category_ids` gives the COCO id of each label, 1..K by default. Images are numbered 1, 2, ... as they come, and
    `results` is gone through once, so that it may make one at a time. `number` counts the objects of a picture from 1,
    as the column `id` of `maskrcnn.measure` does and drawings show; `id` is unique among all pictures.

    Names are written as `utf8` makes them, for JSON that every parser takes.

    Raises:
        ValueError: results with other class names, a score or a box that is no finite number, or not one distinct
            category id for each class.
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
        _expect_finite(file_name, instances)
        height, width = instances.image_size
        images.append({"id": image_id, "file_name": utf8(file_name), "width": width, "height": height})
        boxes = instances.boxes.tolist()
        labels = instances.labels.tolist()
        scores = instances.scores.tolist()
        measured = zip(boxes, labels, scores, instances.areas().tolist(), instances.rles(), strict=True)
        for number, (box, label, score, area, rle) in enumerate(measured, start=1):
            x0, y0, x1, y1 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "number": number,
                    "category_id": ids[label],
                    "score": score,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": rle,
                }
            )
    categories = [{"id": i, "name": utf8(name)} for i, name in zip(ids, class_names, strict=True)]
    return {
        "info": {"description": DESCRIPTION},
        "images": images,
        "categories": categories,
        "annotations": annotations,
    }


def _expect_finite(file_name: str, instances: Instances) -> None:
    for name in ("scores", "boxes"):
        values = getattr(instances, name)
        bad = (~values.isfinite()).nonzero()[:, 0].tolist()
        if bad:
            where = f"{file_name}: " if file_name else ""
            raise ValueError(f"{where}{name} of object {bad[0]} are no finite numbers: {values[bad[0]].tolist()}")
