"""What the annotators drew, image by image, as the evaluation needs it (G objects in an image)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.formats.finding import load_json
from maskrcnn.data.reading import require_usable
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
    names: tuple[str, ...]  # what the file calls each annotation, such as its id

    def __len__(self) -> int:
        return len(self.rles)


def read_annotations(annotations: str | Path | COCO | Mapping[str, Any] | Annotations) -> Annotations:
    """The table of a COCO file, of a dictionary or a `COCO` that is already loaded; a table is given back.

    Raises:
        ValueError: no JSON, a list that COCO needs is not there, or something in it cannot be used.
    """
    if isinstance(annotations, Annotations):
        return annotations
    if isinstance(annotations, COCO):
        table = annotations_from_coco(annotations.dataset, None, "the annotations")
    elif isinstance(annotations, Mapping):
        table = annotations_from_coco(annotations, None, "the annotations")
    else:
        table = annotations_from_coco(load_json(Path(annotations)), None, str(annotations))
    require_usable(table)
    return table


def ground_truth(
    table: Annotations, category_ids: Sequence[int], image_ids: Iterable[int] | None = None
) -> list[GroundTruth]:
    """The images of a table in ascending order of their ids (COCO's order: it settles ties between scores).

    Objects of categories outside `category_ids` are left out. `image_ids` None means every image of the table.

    Raises:
        ValueError: category or image ids that the table does not have.
    """
    if len(set(category_ids)) != len(category_ids) or not set(category_ids) & set(table.category_ids):
        raise ValueError(
            f"expected one distinct category id for each class, out of those of the annotations, "
            f"{list(table.category_ids)}, got {list(category_ids)}"
        )
    place_of = {image_id: index for index, image_id in enumerate(table.image_ids)}
    chosen = sorted(place_of if image_ids is None else set(image_ids))
    label_of_id = {category_id: label for label, category_id in enumerate(category_ids)}
    label_of = np.array([*(label_of_id.get(category_id, -1) for category_id in table.category_ids), -1], np.int64)
    # Exporters leave out `bbox` and `area`, or write an area of 0: the mask then tells.
    boxes = np.where(np.isnan(table.boxes_xywh), table.mask_boxes_xywh, table.boxes_xywh)
    areas = np.where(np.isnan(table.areas) | (table.areas == 0), table.mask_areas, table.areas)
    is_usable = table.is_usable

    truths = []
    for image_id in chosen:
        if image_id not in place_of:
            raise ValueError(f"image id {image_id} is not one of the {len(table)} images of the annotations")
        index = place_of[image_id]
        rows = table.rows(index)
        rows = rows[is_usable[rows] & (label_of[table.labels[rows]] >= 0)]
        truths.append(
            GroundTruth(
                image_id=image_id,
                file_name=table.file_names[index],
                image_size=table.size(index),
                labels=label_of[table.labels[rows]],
                rles=tuple(table.rle(row) for row in rows.tolist()),
                boxes_xywh=boxes[rows],
                areas=areas[rows],
                is_crowd=table.is_crowd[rows],
                names=tuple(table.names[row] for row in rows.tolist()),
            )
        )
    return truths
