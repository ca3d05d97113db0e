"""The annotations of one split as a table of flat arrays (I images, A annotations, K classes)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskrcnn.data.images import read_by
from maskrcnn.data.pages import Planes, Reading
from maskrcnn.data.problems import Problem, found
from maskrcnn.data.stuff_masks import KEY, StuffMasks
from maskrcnn.data.transforms import Sample
from maskrcnn.structures.label_map import THINGS, VOID_LABEL, LabelMap
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.rle import Rle, decode, decode_window
from maskrcnn.structures.targets import Targets


@dataclass(frozen=True, eq=False)
class Annotations:
    """What annotators drew on the images of one split, read once; checks, splits, training and evaluation share it.

    Rows and images are in the order of the file. A row may be unusable, which `problems` then says; `usable` leaves
    those out. Masks are kept as RLE, end to end, so that millions cost little and forked workers share them.
    """

    source: str
    """What messages call the annotations, such as their file."""
    image_folder: Path
    """What `file_names` are relative to."""
    coco: dict[str, Any]
    """The COCO dictionary of just these rows, with what else the file says of them, to be written: image i is
    coco["images"][i], row a is coco["annotations"][a]."""
    file: Path | None
    """The COCO file whose annotations these are, all of them; None if they are a part, or come from another format."""
    problems: tuple[Problem, ...]
    """What was wrong while reading; rows and images of this table."""
    file_names: tuple[str, ...]
    image_ids: tuple[int, ...]
    sizes: np.ndarray
    """(I, 2) int64, height and width; 0, 0 where neither the annotations nor the file tell."""
    class_names: tuple[str, ...]
    """Name of each label, in the order of the category ids."""
    category_ids: tuple[int, ...]
    """COCO category id of each label, ascending."""
    names: tuple[str, ...]
    """What the file calls each annotation: its id, or such as "number 7" or "region 3"."""
    annotation_ids: np.ndarray
    """(A,) int64, distinct."""
    image: np.ndarray
    """(A,) int64, index of the image; -1 if unknown."""
    labels: np.ndarray
    """(A,) int64, index into `class_names`; -1 if unknown."""
    is_crowd: np.ndarray
    """(A,) bool: a region of uncounted objects."""
    boxes_xywh: np.ndarray
    """(A, 4) float64, x y width height, pixels, as in the file; NaN where it has none that can be read."""
    areas: np.ndarray
    """(A,) float64, pixels, as in the file; NaN where it has none."""
    mask_boxes_xywh: np.ndarray
    """(A, 4) float64, x y width height tight around the mask; 0 where there is none."""
    outline_boxes_xywh: np.ndarray
    """(A, 4) float64, around the points of the polygons, where pixels may be lost; as the mask's for an RLE."""
    mask_areas: np.ndarray
    """(A,) int64, pixels of the mask; 0 where it cannot be used."""
    rle_bytes: np.ndarray
    """(B,) uint8: the compressed counts of all masks, one after the other."""
    rle_offsets: np.ndarray
    """(A + 1,) int64 into `rle_bytes`."""
    stuff: StuffMasks | None = None
    """What lies around the objects, of panoptic annotations; None where they do not tell."""
    max_pixels: int | None = None
    """Of an image when it is read; see `maskrcnn.data.pictures.limits.allowed_pixels`."""
    channel: int | str | None = None
    """Of an image with several when it is read; see `maskrcnn.data.pages.Reading`."""
    planes: Planes | None = None
    """What is read of planes of depth."""

    def __len__(self) -> int:
        return len(self.file_names)

    @property
    def is_usable(self) -> np.ndarray:
        """(A,) bool: a mask with pixels, on a known image, of a known class."""
        return (self.mask_areas > 0) & (self.image >= 0) & (self.labels >= 0)

    @property
    def is_object(self) -> np.ndarray:
        """(A,) bool: what is trained on, usable and no crowd."""
        return self.is_usable & ~self.is_crowd

    def image_path(self, index: int) -> Path:
        return self.image_folder / self.file_names[index]

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) as the annotations have them."""
        height, width = self.sizes[index].tolist()
        return height, width

    def rows(self, index: int) -> np.ndarray:
        """Rows of image `index`, ascending, crowd regions included."""
        order, starts = self._by_image
        return order[starts[index] : starts[index + 1]]

    @cached_property
    def _by_image(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.image, kind="stable")
        return order, np.searchsorted(self.image[order], np.arange(len(self) + 1))

    def counts(self, row: int) -> bytes:
        """The compressed counts of a row's mask; empty where there is none."""
        return self.rle_bytes[self.rle_offsets[row] : self.rle_offsets[row + 1]].tobytes()

    def rle(self, row: int) -> Rle:
        """The COCO compressed RLE {"size": [H, W], "counts": str} of a row that has a mask."""
        return {"size": list(self.size(int(self.image[row]))), "counts": self.counts(row).decode("ascii")}

    def corners(self, rows: np.ndarray) -> np.ndarray:
        """(n, 4) int64, x0 y0 x1 y1 tight around the masks of `rows` (n,), x1 y1 exclusive."""
        x0y0, sides = self.mask_boxes_xywh[rows, :2], self.mask_boxes_xywh[rows, 2:]
        return np.concatenate([x0y0, x0y0 + sides], axis=1).astype(np.int64)

    def targets(self, index: int) -> Targets:
        """The usable annotations of image `index`, in the frame of its file."""
        rows = self.rows(index)
        rows = rows[self.is_usable[rows]]
        crowd = self.is_crowd[rows]
        corners = self.corners(rows)
        bitmaps = []
        for row, (x0, y0, x1, y1) in zip(rows[~crowd].tolist(), corners[~crowd].tolist(), strict=True):
            bitmaps.append((x0, y0, decode_window(self.rle(row), (x0, y0, x1, y1))))
        boxes = torch.from_numpy(corners.astype(np.float32))
        is_crowd = torch.from_numpy(crowd)
        labels = torch.from_numpy(self.labels[rows[~crowd]])
        masks, label_map = MaskCrops.from_bitmaps(bitmaps), self.label_map(index)
        label_map = LabelMap.of_pixels(label_map) if label_map is not None else None
        return Targets(boxes[~is_crowd], labels, masks, boxes[is_crowd], label_map=label_map)

    def label_map(self, index: int) -> np.ndarray | None:
        """The label of every pixel of image `index`, (H, W) uint8: 0 on objects and crowds, 1 + its place in
        `stuff.names` on stuff, 255 elsewhere; None for annotations without stuff."""
        if self.stuff is None:
            return None
        labels = np.full(self.size(index), VOID_LABEL, np.uint8)
        for label, rle in self.stuff.of_image(index, self.size(index)):
            labels[decode(rle)] = label + 1
        rows = self.rows(index)
        for row in rows[self.is_usable[rows]].tolist():
            x0, y0, x1, y1 = self.corners(np.array([row]))[0].tolist()
            labels[y0:y1, x0:x1][decode_window(self.rle(row), (x0, y0, x1, y1))] = THINGS
        return labels

    @property
    def reading(self) -> Reading:
        """How images are read: the channel that shows the classes is taken where none is chosen."""
        return Reading(self.max_pixels, self.channel, self.planes, self.class_names)

    def page(self, index: int) -> int | None:
        """The page of a stack that image `index` is, from 0; None where its record names none."""
        records = self.coco.get("images", ())
        page = records[index].get("page") if index < len(records) else None
        return page if isinstance(page, int) and page >= 0 else None

    def read(self, index: int) -> np.ndarray:
        """Image `index`, RGB uint8 (H, W, 3)."""
        return read_by(self.image_path(index), self.reading, self.page(index))

    def load(self, index: int) -> Sample:
        """Image and targets.

        Raises:
            ValueError: the image does not have the size that the annotations say.
        """
        return Sample(self.read_checked(index), self.targets(index), self.file_names[index], self.image_ids[index])

    def read_checked(self, index: int) -> np.ndarray:
        """Image `index`, RGB uint8 (H, W, 3).

        Raises:
            ValueError: it does not have the size that the annotations say.
        """
        image = self.read(index)
        size, expected = image.shape[:2], self.size(index)
        if size != expected:
            hint = ""
            if size == expected[::-1]:
                hint = "; the sides are swapped, so the annotation tool probably ignored the EXIF orientation"
            raise ValueError(
                f"{self.image_path(index)} is {size[0]} x {size[1]} (height x width), "
                f"but {self.source} says {expected[0]} x {expected[1]}{hint}"
            )
        return image

    def select(self, keep_images: np.ndarray, keep_rows: np.ndarray) -> "Annotations":
        """The images (I,) bool, and of the annotations (A,) bool those that are on one of them."""
        if keep_images.all() and keep_rows.all() and (self.image >= 0).all():
            return self
        new_image = np.append(np.where(keep_images, np.cumsum(keep_images) - 1, -1), -1)  # of the unknown image: -1
        image = new_image[self.image]
        keep_rows = keep_rows & (image >= 0)
        new_row = np.where(keep_rows, np.cumsum(keep_rows) - 1, -1)
        images, rows = np.flatnonzero(keep_images).tolist(), np.flatnonzero(keep_rows).tolist()
        lengths = np.diff(self.rle_offsets)
        problems = tuple(
            replace(
                problem,
                row=int(new_row[problem.row]) if problem.row >= 0 else -1,
                image=int(new_image[problem.image]) if problem.image >= 0 else -1,
            )
            for problem in self.problems
        )
        coco = {
            **self.coco,
            "images": [self.coco["images"][i] for i in images],
            "annotations": [self.coco["annotations"][a] for a in rows],
        }
        return replace(
            self,
            coco=coco,
            file=None,
            problems=problems,
            file_names=tuple(self.file_names[i] for i in images),
            image_ids=tuple(self.image_ids[i] for i in images),
            sizes=self.sizes[keep_images],
            names=tuple(self.names[a] for a in rows),
            annotation_ids=self.annotation_ids[keep_rows],
            image=image[keep_rows],
            labels=self.labels[keep_rows],
            is_crowd=self.is_crowd[keep_rows],
            boxes_xywh=self.boxes_xywh[keep_rows],
            areas=self.areas[keep_rows],
            mask_boxes_xywh=self.mask_boxes_xywh[keep_rows],
            outline_boxes_xywh=self.outline_boxes_xywh[keep_rows],
            mask_areas=self.mask_areas[keep_rows],
            rle_bytes=self.rle_bytes[np.repeat(keep_rows, lengths)],
            rle_offsets=np.concatenate([[0], np.cumsum(lengths[keep_rows])]).astype(np.int64),
            stuff=self.stuff.select(new_image[:-1]) if self.stuff is not None else None,
        )

    def usable(self) -> "Annotations":
        """Only images with a size, and annotations that can be used; with all problems."""
        return self.select((self.sizes > 0).all(axis=1).reshape(-1), self.is_usable)

    def without_missing_images(self) -> "Annotations":
        """Only images whose file is there; the others become problems."""
        paths = [self.image_path(image) for image in range(len(self))]
        is_there = np.array([os.path.isfile(path) for path in paths], bool)
        missing = [found("missing-image", "there is no such file", path) for path in paths if not os.path.isfile(path)]
        kept = self.select(is_there, np.ones(len(self.names), bool))
        return replace(kept, problems=(*kept.problems, *missing))

    def without_crowds(self) -> "Annotations":
        """Every annotation an object, for exporters that mark every mask as a crowd."""
        records = [record | {"iscrowd": 0} for record in self.coco["annotations"]]
        return replace(
            self, is_crowd=np.zeros_like(self.is_crowd), coco={**self.coco, "annotations": records}, file=None
        )

    def to_coco(self) -> dict[str, Any]:
        """The COCO dictionary to be written, which holds all that reading it gives back, the stuff too."""
        return self.coco | ({KEY: self.stuff.to_coco(self.image_ids, self.sizes)} if self.stuff is not None else {})

    def light(self) -> "Annotations":
        """Without the records of the annotations as the file has them, which only writing and drawing need."""
        return replace(self, coco={**self.coco, "annotations": []})

    def with_class_names(self, class_names: Sequence[str]) -> "Annotations":
        """The same with other names of the labels."""
        name_of = dict(zip(self.category_ids, class_names, strict=True))
        categories = [record | {"name": name_of[record["id"]]} for record in self.coco["categories"]]
        return replace(self, class_names=tuple(class_names), coco={**self.coco, "categories": categories}, file=None)

    def category_ids_of(self, class_names: Sequence[str]) -> tuple[int, ...]:
        """The category id of each class of a model, found by name.

        Raises:
            ValueError: the names differ; says which are missing on either side.
        """
        known = dict(zip(self.class_names, self.category_ids, strict=True))
        missing = [name for name in class_names if name not in known]
        if missing:
            extra = [name for name in self.class_names if name not in class_names]
            raise ValueError(
                f"{self.source} has no category named {', '.join(missing)}"
                + (f"; it has {', '.join(extra)} instead" if extra else "")
            )
        return tuple(known[name] for name in class_names)
