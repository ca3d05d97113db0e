"""What the annotators drew, image by image, as the evaluation needs it (G objects in an image)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskrcnn.structures.rle import Rle


@dataclass(frozen=True)
class GroundTruth:
    """The annotated objects of one image, in the order of the file; `labels` index the model's classes."""

    image_id: int
    file_name: str
    image_size: tuple[int, int]
    labels: np.ndarray  # (G,) int64
    rles: tuple[Rle, ...]  # COCO compressed RLE
    boxes_xywh: np.ndarray  # (G, 4) float64, pixels: as in the file, since x1 - x0 would not give back every bit of w
    areas: np.ndarray  # (G,) float64, pixels: the file's `area`, by which COCO tells small from large
    is_crowd: np.ndarray  # (G,) bool: a region of uncounted objects

    def __len__(self) -> int:
        return len(self.rles)


def read_annotations(annotations: str | Path | COCO) -> dict:
    """The dictionary of a COCO file, or of a `COCO` that is already loaded.

    Raises:
        ValueError: if it is no JSON, or a list that COCO needs is not there.
    """
    dataset: Any
    if isinstance(annotations, COCO):
        dataset, name = annotations.dataset, "the annotations"
    else:
        name = str(annotations)
        try:
            dataset = json.loads(Path(annotations).read_bytes())
        except ValueError as error:
            raise ValueError(f"{name} is not JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(dataset, dict) or not isinstance(dataset.get(key), list):
            raise ValueError(f"{name}: expected a COCO instance file, but it has no list {key!r}")
    return dataset


def ground_truth(
    dataset: dict, category_ids: Sequence[int], image_ids: Iterable[int] | None = None
) -> list[GroundTruth]:
    """The images of a COCO dictionary in ascending order of their ids (COCO's order: it settles ties between scores).

    Objects of categories outside `category_ids` are left out. `image_ids` None means every image of the file.

    Raises:
        ValueError: naming the image or annotation that can't be used.
    """
    known_ids = [category["id"] for category in dataset["categories"]]
    if len(set(category_ids)) != len(category_ids) or not set(category_ids) & set(known_ids):
        raise ValueError(
            f"expected one distinct category id for each class, out of those of the annotations, {known_ids}, "
            f"got {list(category_ids)}"
        )
    records = {record["id"]: record for record in dataset["images"]}
    chosen = sorted(records if image_ids is None else set(image_ids))
    label_of = {category_id: label for label, category_id in enumerate(category_ids)}
    annotations: dict[int, list[dict]] = {image_id: [] for image_id in chosen}
    for annotation in dataset["annotations"]:
        if annotation["image_id"] in annotations and annotation["category_id"] in label_of:
            annotations[annotation["image_id"]].append(annotation)

    truths = []
    for image_id in chosen:
        if image_id not in records:
            raise ValueError(f"image id {image_id} is not one of the {len(records)} images of the annotations")
        record, objects = records[image_id], annotations[image_id]
        size = _image_size(record)
        rles: list[Any] = [_rle(annotation, size) for annotation in objects]
        # Exporters leave out `bbox` and `area`, or write an area of 0: the mask then tells.
        boxes = [a.get("bbox") or coco_mask.toBbox(rle) for a, rle in zip(objects, rles, strict=True)]
        areas = [a.get("area") or float(coco_mask.area(rle)) for a, rle in zip(objects, rles, strict=True)]
        truths.append(
            GroundTruth(
                image_id=image_id,
                file_name=str(record.get("file_name", image_id)),
                image_size=size,
                labels=np.array([label_of[a["category_id"]] for a in objects], np.int64),
                rles=tuple(rles),
                boxes_xywh=np.array(boxes, np.float64).reshape(-1, 4),
                areas=np.array(areas, np.float64),
                is_crowd=np.array([bool(a.get("iscrowd", 0)) for a in objects], bool),
            )
        )
    return truths


def _image_size(record: dict) -> tuple[int, int]:
    size = record.get("height"), record.get("width")
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"image {record['id']} ({record.get('file_name')}) needs a height and a width, got {size}")
    return size  # pyright: ignore[reportReturnType]


def _rle(annotation: dict, size: tuple[int, int]) -> Rle:
    """COCO compressed RLE of a polygon list, an uncompressed or a compressed RLE."""
    name = f"annotation {annotation.get('id')} of image {annotation['image_id']}"
    segmentation = annotation.get("segmentation") or []
    if isinstance(segmentation, dict):
        rle: Any = segmentation
        if list(rle["size"]) != list(size):
            raise ValueError(f"{name}: its RLE has size {rle['size']} (height, width), the image {list(size)}")
        return coco_mask.frPyObjects(rle, *size) if isinstance(rle["counts"], list) else rle
    polygons = [segmentation] if segmentation and isinstance(segmentation[0], int | float) else segmentation
    # Fewer than three points enclose nothing, and pycocotools would read two points as a box.
    polygons = [polygon for polygon in polygons if len(polygon) >= 6]
    if not polygons:
        raise ValueError(f"{name}: no RLE and no polygon of three points, so its mask can't be evaluated")
    return dict(coco_mask.merge(coco_mask.frPyObjects(polygons, *size)))
