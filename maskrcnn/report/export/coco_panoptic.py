"""Scenes as files: COCO panoptic, a PNG of segment ids for each picture and one JSON that says what they are."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from maskrcnn.report.export.coco import DESCRIPTION
from maskrcnn.report.written import write_marked_png
from maskrcnn.structures.panoptic import Panoptic, Segment, ids_to_rgb
from maskrcnn.untrusted.names import utf8

SEGMENTS_KEY = "Segments"
"""Of the text in such a PNG."""
PANOPTIC_ENDING = "_panoptic.png"
"""How the file name of a picture of segment ids ends."""


def write_panoptic_png(path: str | Path, scene: Panoptic, segments: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write the segment ids as COCO's colours, id = R + 256 G + 65536 B, with a mark by which `is_ours` knows it.

    `segments`, as of `segments_info`, go into the file as a text, which `read_segments` gives back.
    """
    text = PngImagePlugin.PngInfo()
    text.add_text(SEGMENTS_KEY, json.dumps(list(segments), allow_nan=False, separators=(",", ":")))
    data = io.BytesIO()
    Image.fromarray(ids_to_rgb(scene.ids)).save(data, "PNG", pnginfo=text)
    write_marked_png(path, data.getvalue())


def read_segments(path: str | Path) -> list[dict[str, Any]]:
    """The segments that `write_panoptic_png` put into a PNG.

    Raises:
        OSError, ValueError: it is not there, or is no PNG with such a text.
    """
    with Image.open(path) as image:  # the pixels are not decoded
        text = image.info.get(SEGMENTS_KEY)
    segments = json.loads(text) if isinstance(text, str) else None
    if not isinstance(segments, list):
        raise ValueError(f"{path}: expected a PNG of segment ids with their records in it, as infer writes it")
    return segments


def panoptic_dict(
    results: Iterable[tuple[str, str, Panoptic]],
    thing_names: Sequence[str],
    stuff_names: Sequence[str],
    thing_ids: Sequence[int] | None = None,
    stuff_ids: Sequence[int] | None = None,
) -> dict[str, Any]:
    """COCO panoptic's JSON of the scenes in `results`, (picture's file name, its PNG's file name, scene) each.

    `thing_ids` and `stuff_ids` are the data set's category ids, by default 1, 2, ... for things and then for stuff.
    Images are numbered 1, 2, ... as they come. Beside COCO's keys a segment has `score`, a thing's.

    Raises:
        ValueError: scenes with other classes, or category ids that are not one and another for each class.
    """
    category_of = category_ids(thing_names, stuff_names, thing_ids, stuff_ids)
    images, annotations = [], []
    for image_id, (file_name, png_name, scene) in enumerate(results, start=1):
        if (scene.thing_names, scene.stuff_names) != (tuple(thing_names), tuple(stuff_names)):
            raise ValueError(f"{file_name}: expected the classes {(*thing_names, *stuff_names)}, got others")
        height, width = scene.image_size
        images.append({"id": image_id, "file_name": utf8(file_name), "width": width, "height": height})
        segments = segments_info(scene, category_of)
        annotations.append({"image_id": image_id, "file_name": utf8(png_name), "segments_info": segments})
    categories = panoptic_categories(thing_names, stuff_names, category_of)
    return {
        "info": {"description": DESCRIPTION},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def category_ids(
    thing_names: Sequence[str],
    stuff_names: Sequence[str],
    thing_ids: Sequence[int] | None = None,
    stuff_ids: Sequence[int] | None = None,
) -> dict[tuple[bool, int], int]:
    """The category id of each (is it a thing, label).

    Raises:
        ValueError: not one distinct id for each class.
    """
    num_things, num_stuff = len(thing_names), len(stuff_names)
    things = list(thing_ids or range(1, num_things + 1))
    first = max(things, default=0) + 1
    stuff = list(stuff_ids or range(first, first + num_stuff))
    if (len(things), len(stuff), len({*things, *stuff})) != (num_things, num_stuff, num_things + num_stuff):
        raise ValueError(
            f"expected {num_things + num_stuff} distinct category ids, one for each class, got {things + stuff}"
        )
    of_things = {(True, label): number for label, number in enumerate(things)}
    return of_things | {(False, label): number for label, number in enumerate(stuff)}


def panoptic_categories(
    thing_names: Sequence[str], stuff_names: Sequence[str], category_of: dict[tuple[bool, int], int]
) -> list[dict[str, Any]]:
    """COCO panoptic's list of categories."""
    return [
        {"id": category_of[is_thing, label], "name": utf8(name), "isthing": int(is_thing)}
        for is_thing, names in ((True, thing_names), (False, stuff_names))
        for label, name in enumerate(names)
    ]


def segments_info(scene: Panoptic, category_of: dict[tuple[bool, int], int]) -> list[dict[str, Any]]:
    """What COCO panoptic says of each segment; `bbox` is x y width height, tight around its pixels."""
    boxes = segment_boxes(scene.ids, scene.segments)
    return [
        {
            "id": segment.id,
            "category_id": category_of[segment.is_thing, segment.label],
            "area": segment.area,
            "bbox": box,
            "iscrowd": 0,
            **({"score": segment.score} if segment.score is not None else {}),
        }
        for segment, box in zip(scene.segments, boxes, strict=True)
    ]


def segment_boxes(ids: np.ndarray, segments: Sequence[Segment]) -> list[list[int]]:
    """Tight x y width height of each segment, in one pass over the pixels; zeros where it has none."""
    if not segments or not ids.size:
        return [[0, 0, 0, 0] for _ in segments]
    place = np.zeros(int(max(ids.max(), *(s.id for s in segments))) + 1, np.int64)
    place[[segment.id for segment in segments]] = np.arange(1, len(segments) + 1)
    rows = place[ids]
    low = np.full((len(segments) + 1, 2), max(ids.shape), np.int64)
    high = np.full((len(segments) + 1, 2), -1, np.int64)
    # A segment is in few rows and columns: what is in each of them is looked at once.
    for axis in (0, 1):
        for position, line in enumerate(rows if axis == 0 else rows.T):
            present = np.unique(line)
            low[present, axis] = np.minimum(low[present, axis], position)
            high[present, axis] = position
    sizes = np.maximum(high - low + 1, 0)
    low[sizes.min(axis=1) == 0] = 0
    return [[int(x), int(y), int(w), int(h)] for (y, x), (h, w) in zip(low[1:], sizes[1:], strict=True)]
