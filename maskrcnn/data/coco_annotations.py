"""A COCO dictionary as the table of `maskrcnn.data.annotations`: every record read once (A annotations)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
from tqdm import tqdm

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_records import brief, id_key, read_categories, read_images, whole_id, without_non_finite
from maskrcnn.data.mask_reading import Finding, polygon_points, read_mask
from maskrcnn.data.problems import Problem, found
from maskrcnn.data.stuff_masks import KEY, stuff_in

LISTS = ("images", "annotations", "categories")
READ_KEYS = ("id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd")
Place = tuple[str, str]  # file, and what it calls the annotation


def annotations_from_coco(
    coco: Any,
    image_folder: Path | None,
    source: str,
    *,
    places: Sequence[Place] | None = None,
    progress: bool = False,
) -> Annotations:
    """The table of a COCO dictionary, which messages call `source`, with all that is wrong with it.

    Records of images and categories that cannot be used are not in the table; annotations all are. What can be read as
    it was meant is (ids that are texts, names with backslashes, point pairs, ...), and a problem says so. Without
    `image_folder` image files are not looked for. `places` says where each annotation was read, for data that was put
    together from another format: boxes, areas and the like are then no omission of anyone.
    """
    problems: list[Problem] = []
    lists: dict[str, list[Any]] = {}
    for key in LISTS:
        value = coco.get(key) if isinstance(coco, dict) else None
        lists[key] = value if isinstance(value, list) else []
        if not isinstance(value, list):
            problems.append(found("not-coco", f"expected a list {key!r}, got {brief(value)}", source))
    images, image_index, image_problems = read_images(lists["images"], image_folder, source)
    categories, label_of, category_problems = read_categories(lists["categories"], source)
    if not lists["categories"] and isinstance(coco, dict) and KEY in coco:
        category_problems = []  # every pixel has a class, and none is of an object
    problems = problems or [*image_problems, *category_problems]
    reader = _Reader(images, image_index, categories, label_of, lists["annotations"], source, places)
    for row, record in enumerate(
        tqdm(lists["annotations"], desc=f"annotations of {source}", disable=None if progress else True, leave=False)
    ):
        reader.read(row, record)
    sizes = np.array([(record["height"], record["width"]) for record in images], np.int64).reshape(-1, 2)
    stuff, stuff_problems = stuff_in(coco, image_index, sizes, source)
    problems += stuff_problems
    rest, num_lost = without_non_finite(coco, (*LISTS, KEY)) if isinstance(coco, dict) else ({}, 0)
    if num_lost:
        problems.append(found("non-finite-value", f"{num_lost} values are NaN or infinite", source))
    lengths = [len(counts) for counts in reader.rles]
    return Annotations(
        source=source,
        image_folder=image_folder or Path(),
        coco={
            **{key: value for key, value in rest.items() if key != KEY or stuff is None},
            "images": images,
            "annotations": reader.records,
            "categories": categories,
        },
        file=None,
        problems=(*problems, *reader.problems),
        file_names=tuple(record["file_name"] for record in images),
        image_ids=tuple(record["id"] for record in images),
        sizes=sizes,
        class_names=tuple(record["name"] for record in categories),
        category_ids=tuple(record["id"] for record in categories),
        names=tuple(reader.names),
        annotation_ids=np.array([record["id"] for record in reader.records], np.int64),
        image=reader.image,
        labels=reader.labels,
        is_crowd=reader.is_crowd,
        boxes_xywh=reader.boxes,
        areas=reader.areas,
        mask_boxes_xywh=reader.mask_boxes,
        outline_boxes_xywh=reader.outline_boxes,
        mask_areas=reader.mask_areas,
        rle_bytes=np.frombuffer(b"".join(reader.rles), np.uint8),
        rle_offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        stuff=stuff,
    )


class _Reader:
    """Fills the columns of the table, one record at a time."""

    def __init__(
        self,
        images: list[dict[str, Any]],
        image_index: Mapping[str, int],
        categories: list[dict[str, Any]],
        label_of: Mapping[str, int],
        annotations: list[Any],
        source: str,
        places: Sequence[Place] | None,
    ) -> None:
        num = len(annotations)
        self.images, self.image_index = images, image_index
        self.categories, self.label_of = categories, label_of
        self.source, self.places = source, places
        self.problems: list[Problem] = []
        self.records: list[dict[str, Any]] = []
        self.names: list[str] = []
        self.rles: list[bytes] = []
        self.image = np.full(num, -1, np.int64)
        self.labels = np.full(num, -1, np.int64)
        self.is_crowd = np.zeros(num, bool)
        self.boxes = np.full((num, 4), np.nan)
        self.areas = np.full(num, np.nan)
        self.mask_boxes = np.zeros((num, 4))
        self.outline_boxes = np.zeros((num, 4))
        self.mask_areas = np.zeros(num, np.int64)
        keys = [id_key(record.get("id")) if isinstance(record, dict) else None for record in annotations]
        numbers = [whole_id(key) if key is not None else None for key in keys]
        self.seen: set[int] = set()
        self.free_id = max((number for number in numbers if number is not None), default=0) + 1
        self.numbers = numbers

    def read(self, row: int, record: Any) -> None:
        """Every column of one row, and what is wrong with it."""
        name = record.get("id") if isinstance(record, dict) else None
        file, name = self.places[row] if self.places else (self.source, f"number {row}" if name is None else _id(name))
        self.names.append(name)
        if not isinstance(record, dict):
            self.records.append({"id": self._new_id()})
            self.rles.append(b"")
            reason = f"expected an annotation, got {brief(record)}"
            self.problems.append(found("bad-annotation", reason, file, name, row=row))
            return
        clean, num_lost = without_non_finite(record, READ_KEYS)
        findings: list[Finding] = []
        if num_lost:
            lost = [key for key in record if clean.get(key) is not record.get(key)]
            findings.append(("non-finite-value", f"{', '.join(map(str, lost))}: NaN or infinite"))
        findings += self._read_references(record, row, clean)
        findings += self._read_crowd(record, row, clean)
        findings += self._read_box_and_area(record, row)
        findings += self._read_mask(row, clean)
        self._fill_in(row, clean)
        self.records.append(clean)
        image = int(self.image[row])
        where = f"; in {self.images[image]['file_name']}" if image >= 0 and self.places is None else ""
        self.problems += [found(kind, reason + where, file, name, row=row, image=-1) for kind, reason in findings]

    def _new_id(self) -> int:
        self.free_id += 1
        return self.free_id - 1

    def _read_references(self, record: Mapping[str, Any], row: int, clean: dict[str, Any]) -> list[Finding]:
        findings: list[Finding] = []
        given, number = record.get("id"), self.numbers[row]
        if number is None or number in self.seen:
            why = "another annotation before it has the same id" if number is not None else f"its id is {brief(given)}"
            clean["id"] = self._new_id()
            findings.append(("renumbered-annotation", f"{why}; it is read as {clean['id']}"))
        else:
            clean["id"] = number
            if not isinstance(given, int):
                findings.append(("renumbered-annotation", f"its id is {brief(given)}; it is read as {number}"))
        self.seen.add(clean["id"])
        image_key, category_key = id_key(record.get("image_id")), id_key(record.get("category_id"))
        self.image[row] = self.image_index.get(image_key, -1) if image_key is not None else -1
        self.labels[row] = self.label_of.get(category_key, -1) if category_key is not None else -1
        if self.image[row] >= 0:
            clean["image_id"] = self.images[self.image[row]]["id"]
        else:
            findings.append(("unknown-image", f"unknown image id {brief(record.get('image_id'))}"))
        if self.labels[row] >= 0:
            clean["category_id"] = self.categories[self.labels[row]]["id"]
        else:
            findings.append(("unknown-category", f"unknown category id {brief(record.get('category_id'))}"))
        return findings

    def _read_crowd(self, record: Mapping[str, Any], row: int, clean: dict[str, Any]) -> list[Finding]:
        given = record.get("iscrowd")
        if given is None:
            clean["iscrowd"] = 0
            return [("missing-iscrowd", "there is no iscrowd")]
        if isinstance(given, str) and given.strip() in ("0", "1"):
            clean["iscrowd"] = int(given)
            self.is_crowd[row] = bool(clean["iscrowd"])
            return [("iscrowd-text", f"iscrowd is {given!r}")]
        if not isinstance(given, int | float) or given not in (0, 1):
            self.labels[row] = -1
            return [("bad-annotation", f"expected iscrowd 0 or 1, got {brief(given)}")]
        self.is_crowd[row] = bool(given)
        return []

    def _read_box_and_area(self, record: Mapping[str, Any], row: int) -> list[Finding]:
        findings: list[Finding] = []
        box, area = record.get("bbox"), record.get("area")
        if box is None or box == []:
            findings.append(("missing-box", "there is no bbox"))
        elif isinstance(box, list | tuple) and len(box) == 4 and all(map(is_finite, box)):
            self.boxes[row] = box
        else:
            findings.append(("bad-box", f"expected a bbox of four finite numbers, got {brief(box)}"))
        if area is None or not is_finite(area):
            reason = "there is no area" if area is None else f"there is no area: {brief(area)}"
            findings.append(("missing-area", reason))
        else:
            self.areas[row] = area
        return findings if self.places is None else []

    def _read_mask(self, row: int, clean: dict[str, Any]) -> list[Finding]:
        image = self.images[self.image[row]] if self.image[row] >= 0 else {"height": 0, "width": 0}
        size = image["height"], image["width"]
        if not size[0]:  # without its image a mask has no meaning, and the image is named already
            self.rles.append(b"")
            return []
        segmentation, rle, findings = read_mask(clean.get("segmentation"), size)
        area = int(pycocotools.mask.area(rle)) if rle is not None else 0  # pyright: ignore[reportArgumentType]
        if rle is None or area == 0:
            self.rles.append(b"")
            return findings if rle is None else [*findings, _why_empty(segmentation, size)]
        clean["segmentation"] = segmentation
        self.rles.append(rle["counts"])
        self.mask_areas[row] = area
        self.mask_boxes[row] = pycocotools.mask.toBbox(rle)  # pyright: ignore[reportArgumentType]
        is_rle = isinstance(segmentation, dict)
        self.outline_boxes[row] = self.mask_boxes[row] if is_rle else _around(segmentation)
        return findings

    def _fill_in(self, row: int, clean: dict[str, Any]) -> None:
        """In the record, what it lacks and its mask tells, so that it can be written."""
        if not self.mask_areas[row]:
            return
        if np.isnan(self.areas[row]):
            clean["area"] = int(self.mask_areas[row])
        if np.isnan(self.boxes[row]).any():
            clean["bbox"] = self.mask_boxes[row].tolist()


def is_finite(number: Any) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return isinstance(number, int | float) and math.isfinite(number)
    except OverflowError:  # a whole number that no float holds
        return False


def _id(value: Any) -> str:
    return value[:80] if isinstance(value, str) else brief(value)


def _why_empty(segmentation: Any, size: tuple[int, int]) -> Finding:
    if isinstance(segmentation, dict):
        return "empty-mask", "the RLE has no pixel"
    x0, y0, w, h = _around(segmentation)
    x1, y1 = x0 + w, y0 + h
    place = f"x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"
    if x1 <= 0 or y1 <= 0 or x0 >= size[1] or y0 >= size[0]:
        reason = f"the polygon, {place}, lies outside the image of {size[0]} x {size[1]} (height x width)"
        return "mask-outside-image", reason
    return "empty-mask", f"the polygon, {place}, covers no pixel"


def _around(segmentation: list[Any]) -> tuple[float, float, float, float]:
    """x y width height around the points of well-formed polygons."""
    points = np.concatenate([polygon for polygon in polygon_points(segmentation) if len(polygon) >= 3])
    (x0, y0), (w, h) = points.min(axis=0).tolist(), np.ptp(points, axis=0).tolist()
    return x0, y0, w, h
