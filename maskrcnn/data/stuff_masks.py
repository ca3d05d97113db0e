"""What lies around the objects: masks of the kinds of stuff of a data set (S kinds, M masks).

In a COCO dictionary of ours they are under the key "stuff": {"categories": [{"id", "name"}, ...], "annotations":
[{"image_id", "category_id", "segmentation"}, ...]} with compressed RLEs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrcnn.data.coco_records import id_key, read_categories
from maskrcnn.data.mask_reading import read_mask
from maskrcnn.data.problems import Problem, found
from maskrcnn.structures.label_map import VOID_LABEL
from maskrcnn.structures.rle import Rle, rle_counts

KEY = "stuff"
MAX_KINDS = VOID_LABEL - 1
"""A label is a byte; 0 is things, and 255 is void."""


@dataclass(frozen=True, eq=False)
class StuffMasks:
    """Of the images of one split, in the order of the file; kept as RLE, end to end."""

    names: tuple[str, ...]
    """Of each kind, in the order of the category ids."""
    category_ids: tuple[int, ...]
    image: np.ndarray
    """(M,) int64, index of the image in its table, ascending."""
    labels: np.ndarray
    """(M,) int64, index into `names`."""
    rle_bytes: np.ndarray
    """(B,) uint8: the compressed counts of all masks, one after the other."""
    rle_offsets: np.ndarray
    """(M + 1,) int64 into `rle_bytes`."""

    def of_image(self, index: int, size: tuple[int, int]) -> list[tuple[int, Rle]]:
        """(label, mask) of each kind of stuff in an image of (height, width) `size`."""
        first, last = np.searchsorted(self.image, [index, index + 1])
        return [
            (
                int(self.labels[row]),
                {
                    "size": list(size),
                    "counts": self.rle_bytes[self.rle_offsets[row] : self.rle_offsets[row + 1]]
                    .tobytes()
                    .decode("ascii"),
                },
            )
            for row in range(first, last)
        ]

    def pixels(self, sizes: np.ndarray) -> dict[str, int]:
        """Of each kind in all images, which have (height, width) `sizes` (I, 2)."""
        totals = dict.fromkeys(self.names, 0)
        for index in np.unique(self.image).tolist():
            height, width = sizes[index].tolist()
            for label, rle in self.of_image(index, (height, width)):
                totals[self.names[label]] += int(rle_counts(rle)[1::2].sum())
        return totals

    def select(self, new_image: np.ndarray) -> "StuffMasks":
        """Of the images that stay: `new_image` (I,) is the index that each has from now on, -1 for the others."""
        kept = np.flatnonzero(new_image[self.image] >= 0)
        lengths = np.diff(self.rle_offsets)
        return StuffMasks(
            self.names,
            self.category_ids,
            new_image[self.image[kept]],
            self.labels[kept],
            self.rle_bytes[np.repeat(new_image[self.image] >= 0, lengths)],
            np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64),
        )

    def to_coco(self, image_ids: Sequence[int], sizes: np.ndarray) -> dict[str, Any]:
        """What stands under `KEY`, for images of these ids and (height, width) `sizes` (I, 2)."""
        annotations = []
        for index, image_id in enumerate(image_ids):
            height, width = sizes[index].tolist()
            for label, rle in self.of_image(index, (height, width)):
                category = self.category_ids[label]
                annotations.append({"image_id": image_id, "category_id": category, "segmentation": rle})
        categories = [{"id": i, "name": name} for i, name in zip(self.category_ids, self.names, strict=True)]
        return {"categories": categories, "annotations": annotations}


def stuff_in(
    coco: Any, image_index: Mapping[str, int], sizes: np.ndarray, source: str
) -> tuple[StuffMasks | None, list[Problem]]:
    """The stuff of a COCO dictionary of ours, and what is wrong with it; None where there is none.

    `image_index` is the place of each image by the key of its id.
    """
    value = coco.get(KEY) if isinstance(coco, dict) else None
    if not isinstance(value, dict) or not all(
        isinstance(value.get(key), list) for key in ("categories", "annotations")
    ):
        return None, []
    categories, label_of, problems = read_categories(value["categories"], f"{source}: {KEY}")
    if len(categories) > MAX_KINDS:
        reason = f"expected at most {MAX_KINDS} kinds of stuff, got {len(categories)}"
        return None, [*problems, found("bad-category", reason, source)]
    rows: list[tuple[int, int, bytes]] = []
    for number, record in enumerate(value["annotations"]):
        record = record if isinstance(record, dict) else {}
        keys = [id_key(record.get(name)) for name in ("image_id", "category_id")]
        image, label = (
            table.get(key, -1) if key is not None else -1
            for table, key in zip((image_index, label_of), keys, strict=True)
        )
        if image < 0 or label < 0:
            reason = "expected the image_id and category_id of a kind of stuff"
            problems.append(found("bad-segment", reason, source, f"{KEY} {number}"))
            continue
        height, width = sizes[image].tolist()
        _, rle, findings = read_mask(record.get("segmentation"), (height, width))
        problems += [found(kind, reason, source, f"{KEY} {number}") for kind, reason in findings]
        if rle is not None:
            rows.append((image, label, rle["counts"]))
    rows.sort(key=lambda row: row[0])
    lengths = [len(counts) for _, _, counts in rows]
    masks = StuffMasks(
        tuple(record["name"] for record in categories),
        tuple(record["id"] for record in categories),
        np.array([image for image, _, _ in rows], np.int64),
        np.array([label for _, label, _ in rows], np.int64),
        np.frombuffer(b"".join(counts for _, _, counts in rows), np.uint8),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
    return masks, problems
