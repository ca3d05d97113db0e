"""COCO annotation files as a data set: masks kept as compressed RLE in flat arrays (A annotations, I images)."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import torch

from maskrcnn.data.checks.mask_reading import read_mask
from maskrcnn.data.images import read_image
from maskrcnn.data.transforms import Sample
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.rle import decode_window
from maskrcnn.structures.targets import Targets

MAX_PROBLEMS_NAMED = 10  # in one message; the rest are counted


@dataclass(frozen=True, eq=False)
class CocoDataset:
    """Images and their annotations, in the order of the file; made by `load_coco`.

    Annotations live in a few numpy arrays, sorted by image, so that millions of them cost little and forked workers
    share them. Polygons are kept as the RLE that pycocotools makes of them.
    """

    annotation_file: Path
    image_dir: Path
    class_names: tuple[str, ...]
    """Name of each label."""
    category_ids: tuple[int, ...]
    """COCO category id of each label, ascending."""
    file_names: tuple[str, ...]
    image_ids: tuple[int, ...]
    sizes: np.ndarray
    """(I, 2) int32, height and width as the annotation file has them."""
    offsets: np.ndarray
    """(I + 1,) int64: the annotations of image i are offsets[i] .. offsets[i + 1] - 1."""
    boxes: np.ndarray
    """(A, 4) int32, x0 y0 x1 y1 tight around the mask, x1 y1 exclusive."""
    labels: np.ndarray
    """(A,) int32."""
    is_crowd: np.ndarray
    """(A,) bool."""
    annotation_ids: np.ndarray
    """(A,) int64."""
    rle_bytes: np.ndarray
    """(B,) uint8: the compressed counts of all masks, one after the other."""
    rle_offsets: np.ndarray
    """(A + 1,) int64 into `rle_bytes`."""

    def __len__(self) -> int:
        return len(self.file_names)

    def image_path(self, index: int) -> Path:
        return self.image_dir / self.file_names[index]

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) as the annotation file has them."""
        height, width = self.sizes[index].tolist()
        return height, width

    def annotation_range(self, index: int) -> range:
        """Rows of the annotation arrays that belong to image `index`, crowd regions included."""
        return range(int(self.offsets[index]), int(self.offsets[index + 1]))

    def rle(self, index: int, row: int) -> dict:
        """The COCO compressed RLE {"size": [H, W], "counts": str} of annotation `row`, one of image `index`."""
        counts = self.rle_bytes[self.rle_offsets[row] : self.rle_offsets[row + 1]].tobytes()
        return {"size": list(self.size(index)), "counts": counts.decode("ascii")}

    def targets(self, index: int) -> Targets:
        """The annotations of image `index`, in the frame of its file."""
        rows = self.annotation_range(index)
        is_crowd = self.is_crowd[rows.start : rows.stop]
        boxes = torch.from_numpy(self.boxes[rows.start : rows.stop].astype(np.float32))
        labels = torch.from_numpy(self.labels[rows.start : rows.stop].astype(np.int64))
        bitmaps = []
        for row in rows:
            if not self.is_crowd[row]:
                x0, y0, x1, y1 = self.boxes[row].tolist()
                bitmaps.append((x0, y0, decode_window(self.rle(index, row), (x0, y0, x1, y1))))
        crowd = torch.from_numpy(is_crowd)
        return Targets(boxes[~crowd], labels[~crowd], MaskCrops.from_bitmaps(bitmaps), boxes[crowd])

    def load(self, index: int) -> Sample:
        """Image and targets.

        Raises ValueError when the image does not have the size that the annotation file says.
        """
        image = read_image(self.image_path(index))
        size, expected = image.shape[:2], self.size(index)
        if size != expected:
            hint = ""
            if size == expected[::-1]:
                hint = "; the sides are swapped, so the annotation tool probably ignored the EXIF orientation"
            raise ValueError(
                f"{self.image_path(index)} is {size[0]} x {size[1]} (height x width), "
                f"but {self.annotation_file} says {expected[0]} x {expected[1]}{hint}"
            )
        return Sample(image, self.targets(index), self.file_names[index], self.image_ids[index])


def load_coco(
    annotation_file: str | Path,
    image_dir: str | Path,
    *,
    drop_invalid: bool = False,
    crowd_as_instances: bool = False,
) -> CocoDataset:
    """Reads a COCO instance file and checks all of it; image files are only looked for, not opened.

    Labels follow the order of the category ids. Images without annotations stay. Crowd regions never become instances
    unless `crowd_as_instances` (for exporters that mark every RLE as crowd). With `drop_invalid` annotations that are
    not usable are left out with a warning.

    Raises FileNotFoundError for missing files, and ValueError naming the file and up to 10 annotation ids for
    annotations with an empty or malformed mask, an unknown category or image, or an id that occurs twice.
    """
    annotation_file, image_dir = Path(annotation_file), Path(image_dir)
    content = _read_json(annotation_file)
    category_ids, class_names = _read_categories(annotation_file, content["categories"])
    image_ids, file_names, sizes = _read_images(annotation_file, content["images"])
    missing = [name for name in file_names if not (image_dir / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(file_names)} images of {annotation_file} are not in {image_dir}, "
            f"first {missing[0]!r}"
        )

    label_of = {category_id: label for label, category_id in enumerate(category_ids)}
    image_of = {image_id: index for index, image_id in enumerate(image_ids)}
    rows: list[tuple[int, int, bool, int]] = []  # image, label, is_crowd, annotation id
    rles: list[bytes] = []
    boxes: list[np.ndarray] = []
    problems: list[str] = []
    seen: set[int] = set()
    for position, annotation in enumerate(content["annotations"]):
        annotation = annotation if isinstance(annotation, dict) else {}
        annotation_id = annotation.get("id", f"number {position}")
        try:
            if not isinstance(annotation_id, int) or abs(annotation_id) >= 2**63:
                raise ValueError("it needs an integer id")
            if annotation_id in seen:
                raise ValueError("the id occurs twice")
            seen.add(annotation_id)
            image = _place(image_of, annotation.get("image_id"), "image")
            label = _place(label_of, annotation.get("category_id"), "category")
            rle = _compressed_rle(annotation, sizes[image])
            if pycocotools.mask.area(rle) == 0:
                raise ValueError("the mask has no pixel inside the image")
        except ValueError as error:
            problems.append(f"annotation {annotation_id}: {error}")
            continue
        is_crowd = bool(annotation.get("iscrowd", 0)) and not crowd_as_instances
        rows.append((image, label, is_crowd, annotation_id))
        rles.append(rle["counts"])
        boxes.append(pycocotools.mask.toBbox(rle))
    if problems:
        _report(annotation_file, problems, drop_invalid)

    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    num_crowd = int(table[:, 2].sum())
    if num_crowd * 2 > len(table):
        warnings.warn(
            f"{annotation_file} marks {num_crowd} of {len(table)} annotations as crowd (iscrowd = 1), which are "
            "ignored in training; if the exporter does this to every RLE, load it with crowd_as_instances=True",
            stacklevel=2,
        )
    order = np.argsort(table[:, 0], kind="stable")
    table = table[order]
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)[order]
    corners[:, 2:] += corners[:, :2]
    rles = [rles[row] for row in order]
    return CocoDataset(
        annotation_file=annotation_file,
        image_dir=image_dir,
        class_names=class_names,
        category_ids=category_ids,
        file_names=file_names,
        image_ids=image_ids,
        sizes=np.array(sizes, dtype=np.int32).reshape(-1, 2),
        offsets=np.searchsorted(table[:, 0], np.arange(len(image_ids) + 1)),
        boxes=corners.astype(np.int32),
        labels=table[:, 1].astype(np.int32),
        is_crowd=table[:, 2].astype(bool),
        annotation_ids=table[:, 3],
        rle_bytes=np.frombuffer(b"".join(rles), dtype=np.uint8),
        rle_offsets=np.cumsum([0, *(len(counts) for counts in rles)], dtype=np.int64),
    )


def category_ids_of(class_names: Sequence[str], dataset: CocoDataset) -> tuple[int, ...]:
    """The id that `dataset` gives to each class of a model, found by name.

    Raises:
        ValueError: the names differ; says which are missing on either side.
    """
    known = dict(zip(dataset.class_names, dataset.category_ids, strict=True))
    missing = [name for name in class_names if name not in known]
    if missing:
        extra = [name for name in dataset.class_names if name not in class_names]
        raise ValueError(
            f"{dataset.annotation_file} has no category named {', '.join(missing)}"
            + (f"; it has {', '.join(extra)} instead" if extra else "")
        )
    return tuple(known[name] for name in class_names)


def _read_json(annotation_file: Path) -> dict:
    try:
        content = json.loads(annotation_file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{annotation_file} is not JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{annotation_file} is not a COCO instance file: it has no list {key!r}")
    return content


def _read_categories(annotation_file: Path, records: list[dict]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    if not records:
        raise ValueError(f"{annotation_file} has no categories")
    names: dict[int, str] = {}
    for record in records:
        record = record if isinstance(record, dict) else {}
        if not isinstance(record.get("id"), int) or not isinstance(record.get("name"), str):
            raise ValueError(f"{annotation_file}: a category needs an integer id and a name, got {record}")
        if record["id"] in names:
            raise ValueError(f"{annotation_file}: category id {record['id']} occurs twice")
        names[record["id"]] = record["name"]
    category_ids = tuple(sorted(names))
    return category_ids, tuple(names[category_id] for category_id in category_ids)


def _read_images(
    annotation_file: Path, records: list[dict]
) -> tuple[tuple[int, ...], tuple[str, ...], list[tuple[int, int]]]:
    sizes: dict[int, tuple[int, int]] = {}
    for record in records:
        record = record if isinstance(record, dict) else {}
        image_id, size = record.get("id"), (record.get("height"), record.get("width"))
        if not isinstance(image_id, int) or not isinstance(record.get("file_name"), str):
            raise ValueError(f"{annotation_file}: an image needs an integer id and a file_name, got {record}")
        if image_id in sizes:
            raise ValueError(f"{annotation_file}: image id {image_id} occurs twice")
        if not all(isinstance(side, int) and 0 < side <= 2**30 for side in size):
            raise ValueError(f"{annotation_file}: image {record['file_name']!r} needs height and width, got {size}")
        sizes[image_id] = size  # pyright: ignore[reportArgumentType]
    return tuple(sizes), tuple(record["file_name"] for record in records), list(sizes.values())


def _report(annotation_file: Path, problems: list[str], drop_invalid: bool) -> None:
    named = "; ".join(problems[:MAX_PROBLEMS_NAMED])
    more = f"; and {len(problems) - MAX_PROBLEMS_NAMED} more" if len(problems) > MAX_PROBLEMS_NAMED else ""
    noun = "annotation" if len(problems) == 1 else "annotations"
    message = f"{annotation_file} has {len(problems)} unusable {noun}: {named}{more}"
    if not drop_invalid:
        raise ValueError(message)
    warnings.warn(message, stacklevel=3)


def _place(places: dict[int, int], key: Any, noun: str) -> int:
    if not isinstance(key, int | float) or key not in places:
        raise ValueError(f"unknown {noun} id {key!r}")
    return places[key]  # pyright: ignore[reportArgumentType]


def _compressed_rle(annotation: dict, size: tuple[int, int]) -> Any:
    """The segmentation, whatever its form, as pycocotools' compressed RLE; a ValueError says what is wrong with it."""
    rle, findings = read_mask(annotation.get("segmentation"), size)
    if rle is None:
        raise ValueError("; ".join(reason for _, reason in findings))
    return rle
