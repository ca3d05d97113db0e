"""What was found in one image: a value that is filtered into new values.

N instances, M mask cells on a side.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from maskrcnn.structures.conversions import coco_annotations, pandas_table, supervision_detections
from maskrcnn.structures.masks import PasteMode, masks_to_runs
from maskrcnn.structures.polygons import Polygon, rle_to_polygons
from maskrcnn.structures.rle import Rle
from maskrcnn.structures.runs import Runs
from maskrcnn.structures.semantic_map import SemanticMap, index_type
from maskrcnn.structures.smooth_outlines import smooth_outlines
from maskrcnn.structures.svg import outlines_svg

NAMED_IN_REPR = 5
"""Classes, the most frequent ones."""


@dataclass(frozen=True, eq=False, repr=False)
class Instances:
    """Detected objects of one image, best score first where a model made them; all tensors on one device.

    Masks are kept in the frame of their box. Image-frame masks are made on request: `rles`, `polygons`, `crops`
    (small) or `bitmaps` (N full images). Raises ValueError for a shape or dtype that does not fit. `torch.save` and
    `torch.load` take them as they are, where maskrcnn's Instances are imported.
    """

    image_size: tuple[int, int]
    """(height, width) of the image that boxes and masks refer to."""
    boxes: Tensor
    """(N, 4) float32, x0 y0 x1 y1 in pixels."""
    labels: Tensor
    """(N,) int64, index into `class_names`."""
    scores: Tensor
    """(N,) float32, 0..1."""
    mask_probs: Tensor
    """(N, M, M) float, 0..1, stretched over the box."""
    class_names: tuple[str, ...]
    paste_mode: PasteMode = "exact"
    """How the masks are laid into the image; see `masks_to_runs`."""
    ceilings: tuple[str, ...] = ()
    """One sentence for each limit that this result touched, and that may have hidden objects."""
    notes: tuple[str, ...] = ()
    """How it came about, where that was not the usual way: a sentence each."""
    pixels: Runs | None = None
    """The masks in the image where they are known pixel by pixel, as of objects joined from several tiles; None where
    they are `mask_probs` laid into the image."""
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """What else is known of each object, by name (keypoints, track ids): (N, ...) tensors that follow the objects."""
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    """What else is known of every pixel of the image, by name (the semantic branch's labels): (height, width) tensors,
    which stay as they are when objects are left out."""

    def __post_init__(self) -> None:
        num = len(self.boxes)
        mask_size = self.mask_probs.shape[-1] if self.mask_probs.ndim else 0
        expected = {
            "boxes": ((num, 4), torch.float32),
            "labels": ((num,), torch.int64),
            "scores": ((num,), torch.float32),
            "mask_probs": ((num, mask_size, mask_size), None),
        }
        for name, (shape, dtype) in expected.items():
            tensor = getattr(self, name)
            if tensor.shape != shape or (tensor.dtype != dtype if dtype else not tensor.is_floating_point()):
                raise ValueError(
                    f"expected {name} of shape {shape} and dtype {dtype or 'float'}, "
                    f"got {tuple(tensor.shape)} and {tensor.dtype}"
                )
        for name, values in self.extra.items():
            if values.shape[:1] != (num,):
                raise ValueError(f"expected extra field {name} of shape ({num}, ...), got {tuple(values.shape)}")
        for name, values in self.maps.items():
            if values.shape[:2] != self.image_size:
                raise ValueError(f"expected map {name} of shape {self.image_size}, got {tuple(values.shape)}")
        if self.pixels is not None and (len(self.pixels.num_runs), self.pixels.image_size) != (num, self.image_size):
            got = f"{len(self.pixels.num_runs)} in {self.pixels.image_size}"
            raise ValueError(f"expected the pixels of {num} masks in an image of {self.image_size}, got {got}")
        if self.paste_mode not in get_args(PasteMode):
            raise ValueError(f"expected a paste_mode out of {', '.join(get_args(PasteMode))}, got {self.paste_mode!r}")

    @classmethod
    def empty(
        cls,
        image_size: tuple[int, int],
        class_names: tuple[str, ...],
        mask_size: int = 28,
        paste_mode: PasteMode = "exact",
    ) -> "Instances":
        """A result without objects, on the CPU."""
        return cls(
            image_size=image_size,
            boxes=torch.zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.int64),
            scores=torch.zeros(0),
            mask_probs=torch.zeros(0, mask_size, mask_size),
            class_names=class_names,
            paste_mode=paste_mode,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Instances"]) -> "Instances":
        """The objects of one or more `parts` of the same image, one part after the other, in no order of scores.

        Raises:
            ValueError: images, classes, ways of pasting or names of extra fields differ.
        """
        facts = [(part.image_size, part.class_names, part.paste_mode, sorted(part.extra)) for part in parts]
        if any(other != facts[0] for other in facts):
            raise ValueError(
                "instances to concatenate need the same image_size, class_names, paste_mode and extra fields, "
                f"got {facts}"
            )
        return replace(
            parts[0],
            **{name: torch.cat([getattr(part, name) for part in parts]) for name in cls._tensor_names()},
            extra={name: torch.cat([part.extra[name] for part in parts]) for name in parts[0].extra},
            pixels=Runs.concatenate([part.runs for part in parts]) if any(part.pixels for part in parts) else None,
            ceilings=tuple(dict.fromkeys(sentence for part in parts for sentence in part.ceilings)),
            notes=tuple(dict.fromkeys(sentence for part in parts for sentence in part.notes)),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int | slice | Tensor | np.ndarray | list[int]) -> "Instances":
        """A new result with some of the instances: a bool mask (N,), indices, a slice, or one number.

        Raises IndexError for an index outside -N..N-1 or a bool mask of another length.
        """
        rows = _row_idx(index, len(self)).to(self.boxes.device)
        extra = {name: values[rows] for name, values in self.extra.items()}
        pixels = self.pixels[rows.cpu().numpy()] if self.pixels is not None else None
        tensors = {name: getattr(self, name)[rows] for name in self._tensor_names()}
        return replace(self, **tensors, pixels=pixels, extra=extra)

    def __repr__(self) -> str:
        """Numbers in place of tensors, such as "Instances(3 objects: 2 cat, 1 dog; image 480 x 640)"."""
        per_label = torch.bincount(self.labels, minlength=len(self.class_names)).tolist()
        pairs = zip(per_label, self.class_names, strict=False)  # values are not checked, so labels may be out of range
        numbers = sorted(((n, name) for n, name in pairs if n), key=lambda pair: -pair[0])
        names = [f"{n} {name}" for n, name in numbers[:NAMED_IN_REPR]]
        if len(numbers) > NAMED_IN_REPR:
            names.append(f"{len(numbers) - NAMED_IN_REPR} more classes")
        objects = f"{len(self)} object{'s' * (len(self) != 1)}" + f": {', '.join(names)}" * bool(names)
        return f"Instances({objects}; image {self.image_size[0]} x {self.image_size[1]})"

    def to(self, device: torch.device | str | int, copy: bool = False) -> "Instances":
        """The same result on another device; with `copy` its tensors are new ones in any case."""
        extra, maps = (
            {name: values.to(device, copy=copy) for name, values in part.items()} for part in (self.extra, self.maps)
        )
        tensors = {name: getattr(self, name).to(device, copy=copy) for name in self._tensor_names()}
        return replace(self, **tensors, extra=extra, maps=maps)

    def to_dict(self) -> dict[str, Any]:
        """All fields in plain tensors, numbers and strings: what `torch.load` reads anywhere, also without maskrcnn."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.pixels is not None:
            of_pixels = self.pixels.boundaries, self.pixels.num_runs
            values["pixels"] = tuple(torch.from_numpy(np.array(numbers)) for numbers in of_pixels)
        return values | {"extra": dict(self.extra), "maps": dict(self.maps)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Instances":
        """The inverse of `to_dict`.

        Raises:
            ValueError: a field that is missing or unknown, or that does not fit.
        """
        known = {field.name for field in fields(cls)}
        wrong = sorted(set(values) ^ known)
        if wrong:
            raise ValueError(f"expected the fields {', '.join(sorted(known))}; {wrong[0]} is unknown or missing")
        height, width = values["image_size"]
        names = {name: tuple(values[name]) for name in ("class_names", "ceilings", "notes")}
        pixels = values["pixels"]
        if pixels is not None:
            boundaries, num_runs = (numbers.numpy() for numbers in pixels)
            pixels = Runs(boundaries, num_runs, (height, width))
        return cls(**{**values, **names, "image_size": (height, width), "pixels": pixels})

    def __getstate__(self) -> dict[str, Any]:
        return self.to_dict()  # without the masks that were made on request, which can be made again

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(vars(self.from_dict(state)))

    def rles(self) -> list[Rle]:
        """The masks in the image as COCO compressed RLE; computed once."""
        return list(self._rles)

    def areas(self) -> np.ndarray:
        """Pixels of each mask, int64 (N,)."""
        return self.runs.areas()

    def polygons(self, smooth: bool = False) -> list[list[Polygon]]:
        """The parts of each mask with their holes; see `rle_to_polygons`.

        With `smooth` not the edges of the pixels but the line between them where the probabilities cross 0.5, see
        `smooth_outlines`; of masks that are known by their pixels alone (`pixels`) they are the edges.
        """
        if smooth and self.pixels is None:
            return smooth_outlines(self.mask_probs, self.boxes, self.image_size, self.paste_mode)
        return [rle_to_polygons(rle) for rle in self._rles]

    def bitmaps(self) -> np.ndarray:
        """The masks as bool (N, H, W): H x W bytes an instance, so prefer `rles` or `crops` for many."""
        bitmaps = np.zeros((len(self), *self.image_size), bool)
        for bitmap, (x0, y0, crop) in zip(bitmaps, self.crops(), strict=True):
            bitmap[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
        return bitmaps

    def crops(self) -> list[tuple[int, int, np.ndarray]]:
        """For each mask (x0, y0, bool bitmap (h, w)), only as large as the object; an empty mask has shape (0, 0)."""
        return self.runs.crops()

    def to_coco(self, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """An annotation of COCO for each object, without the ids that it has among many images.

        Masks are compressed RLE, `area` counts their pixels, `bbox` is x y width height of the box, unrounded.
        `maskrcnn infer` writes whole data sets.

        Args:
            category_ids: of each class, 1..K by default.

        Raises:
            ValueError: a score or a box that is no finite number, or not one distinct category id for each class.
        """
        num_classes, areas = len(self.class_names), self.areas()
        return coco_annotations(self.boxes, self.labels, self.scores, areas, self.rles(), num_classes, category_ids)

    def to_supervision(self, *, masks: bool = True) -> Any:
        """`supervision.Detections` with boxes, masks, scores and labels; names of classes are in `data["class_name"]`,
        as are extra fields, and `extra["track_ids"]` becomes `tracker_id`.

        `masks` are dense, H x W bytes an object: without them boxes are all there is.

        Raises:
            MissingPackageError: supervision is not installed; the extra `interop` has it.
        """
        bitmaps = self.bitmaps() if masks else None
        return supervision_detections(self.boxes, self.labels, self.scores, bitmaps, self.class_names, self.extra)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each object: `id` from 1, `class`, `score`, `box_x0` to `box_y1`,
        `area_px`, and the extra fields that are a number each. `maskrcnn.measure` gives more, and has `to_pandas`.

        Raises:
            MissingPackageError: pandas is not installed; the extra `interop` has it.
        """
        return pandas_table(self.boxes, self.labels, self.scores, self.areas(), self.class_names, self.extra)

    def _repr_html_(self) -> str:
        """For notebooks: what `repr` says, and a picture of the outlines; `maskrcnn.draw` puts them on the image."""
        labels = self.labels.tolist()
        names = [f"{self.class_names[i]} {score:.2f}" for i, score in zip(labels, self.scores.tolist(), strict=True)]
        return f"<p>{html.escape(repr(self))}</p>{outlines_svg(self.image_size, self.crops(), labels, names)}"

    def semantic_map(self, background: str = "background") -> SemanticMap:
        """The class of every pixel: `background` (0) where no object is, else 1 + the label of the best score's."""
        class_idx = np.zeros(self.image_size, index_type(len(self.class_names) + 1))
        labels, crops = self.labels.tolist(), self.crops()
        for i in torch.argsort(self.scores, stable=True).tolist():
            x0, y0, bitmap = crops[i]
            class_idx[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]][bitmap] = labels[i] + 1
        return SemanticMap(class_idx, (background, *self.class_names), background=0, notes=self.notes)

    @cached_property
    def runs(self) -> Runs:
        """The masks in the image as runs of pixels; computed once."""
        if self.pixels is not None:
            return self.pixels
        return masks_to_runs(self.mask_probs, self.boxes, self.image_size, self.paste_mode)

    @cached_property
    def _rles(self) -> list[Rle]:
        return self.runs.rles()

    @classmethod
    def _tensor_names(cls) -> list[str]:
        return [field.name for field in fields(cls) if field.type is Tensor]


def _row_idx(index: int | slice | Tensor | np.ndarray | list[int], num: int) -> Tensor:
    if isinstance(index, slice):
        return torch.tensor(range(num)[index], dtype=torch.int64)
    rows = torch.as_tensor(index)
    if rows.numel() == 0 and rows.dtype != torch.bool:  # [] is float to torch
        rows = rows.long()
    rows = rows.reshape(1) if rows.ndim == 0 else rows
    if rows.dtype == torch.bool:
        if rows.shape != (num,):
            raise IndexError(f"expected a bool mask of length {num}, got {tuple(rows.shape)}")
        return rows
    if rows.ndim != 1 or rows.is_floating_point():
        raise IndexError(f"expected indices (n,), got {tuple(rows.shape)} of {rows.dtype}")
    return rows.long()


# A pickled result holds nothing but tensors and names, and is checked when it is read, as is any other.
torch.serialization.add_safe_globals([Instances])
