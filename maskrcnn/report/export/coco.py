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
        height, width = instances.image_size
        images.append({"id": image_id, "file_name": utf8(file_name), "width": width, "height": height})
        try:
            found = instances.to_coco(ids)
        except ValueError as error:
            raise ValueError(f"{file_name}: {error}" if file_name else str(error)) from None
        for number, annotation in enumerate(found, start=1):
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, "number": number, **annotation})
    categories = [{"id": i, "name": utf8(name)} for i, name in zip(ids, class_names, strict=True)]
    return {
        "info": {"description": DESCRIPTION},
        "images": images,
        "categories": categories,
        "annotations": annotations,
    }
