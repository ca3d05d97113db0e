"""COCO panoptic: a JSON that says what the segments of each image are, and a PNG of their ids for each (A segments).

Format: cocodataset.org, "Data format", panoptic segmentation; id = R + 256 G + 65536 B. Paper: arXiv:1801.00868.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.coco_annotations import annotations_from_coco
from maskrcnn.data.coco_records import brief, id_key
from maskrcnn.data.formats.bitmaps import open_mask, rles_by_value
from maskrcnn.data.formats.coco import image_folder, splits_of
from maskrcnn.data.formats.finding import folder_of_split, json_files, load_json, parts_with, subfolder
from maskrcnn.data.problems import Problem, found
from maskrcnn.data.stuff_masks import KEY
from maskrcnn.structures.panoptic import rgb_to_ids

LOOKED_FOR = "a JSON file of COCO panoptic (annotations with segments_info) with its PNGs"


@dataclass(frozen=True)
class PanopticRecord:
    """What one image's PNG holds."""

    image: dict[str, Any]
    """Its record, as the file has it."""
    png: Path
    ids: np.ndarray
    """(H, W) int32, 0 where there is no segment."""
    segments: dict[int, dict[str, Any]]
    """The records of those that are sound, by id."""


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Things as objects, and the kinds of stuff; segments that cannot be used are left out, and are named.

    Without `images` the pictures are looked for beside the annotations.

    Raises:
        ValueError: two files for one split.
        FileNotFoundError: the pictures are nowhere near.
    """
    result = {}
    for part_split, part in parts_with(path, _files_in).items():
        for split, file in splits_of(_files_in(part), part_split, is_folder=part.is_dir()).items():
            content = load_json(file)
            folder = folder_of_split(images, part, part_split) or image_folder(file.absolute(), content, split)
            table = _table(content, folder, file)
            # What has problems would be lost again each time, so only whole files are read a second time.
            result[split] = replace(table, file=file) if not table.problems else table
    return result


def records_of(content: Mapping[str, Any], file: Path, problems: list[Problem]) -> Iterator[PanopticRecord]:
    """The images of a JSON's `content` with their PNGs read, one at a time; what is wrong goes to `problems`."""
    images = {id_key(image.get("id")): image for image in content["images"] if isinstance(image, dict)}
    categories = {id_key(one.get("id")) for one in content["categories"] if isinstance(one, dict)}
    folders = [file.with_suffix(""), file.parent]
    done: set[str] = set()
    for record in tqdm(content["annotations"], desc=f"PNGs of {file.name}", disable=None, leave=False):
        record = record if isinstance(record, dict) else {}
        key, name, segments = id_key(record.get("image_id")), record.get("file_name"), record.get("segments_info")
        if (
            key is None
            or key not in images
            or key in done
            or not isinstance(name, str)
            or not isinstance(segments, list)
        ):
            why = f"a second record of image {key}" if key in done else f"got {brief(record)}"
            reason = f"expected the image_id of an image, the file_name of a PNG and a list segments_info: {why}"
            problems.append(found("bad-panoptic-record", reason, file))
            continue
        done.add(key)
        png = next((folder / name for folder in folders if os.path.isfile(folder / name)), None)
        if png is None:
            problems.append(found("missing-mask", f"there is no {name} in {folders[0]} or beside the JSON", file))
            continue
        try:
            ids = read_ids(png)
        except ValueError as error:
            problems.append(found("unreadable-mask", str(error).removeprefix(f"{png}: "), png))
            continue
        expected = images[key].get("height"), images[key].get("width")
        if expected not in ((None, None), ids.shape):
            reason = (
                f"the PNG is {ids.shape[0]} x {ids.shape[1]} (height x width), the image {expected[0]} x {expected[1]}"
            )
            problems.append(found("swapped-size" if expected == ids.shape[::-1] else "wrong-size", reason, png))
            continue
        yield PanopticRecord(images[key], png, ids, _sound(segments, ids, categories, png, problems))
    for key in [key for key in images if key not in done]:
        name = images[key].get("file_name")
        problems.append(found("bad-panoptic-record", f"no record for image {brief(name)}", file))


def read_ids(png: Path) -> np.ndarray:
    """The segment ids of a PNG, (H, W) int32.

    Raises:
        ValueError: no picture, a lossy one, or one without three channels.
    """
    image = open_mask(png)
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        raise ValueError(f"{png}: expected the colours of segment ids (RGB), got a picture of mode {image.mode}")
    return rgb_to_ids(pixels[..., :3])


def _sound(
    segments: list[Any], ids: np.ndarray, categories: set[str | None], png: Path, problems: list[Problem]
) -> dict[int, dict[str, Any]]:
    present = set(np.unique(ids).tolist()) - {0}
    named: dict[int, dict[str, Any]] = {}
    for segment in segments:
        number = segment.get("id") if isinstance(segment, dict) else None
        category = id_key(segment.get("category_id")) if isinstance(segment, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or category is None or category not in categories:
            problems.append(
                found("bad-segment", f"expected an id and a category_id, got {brief(segment)}", png, number or "")
            )
        elif number in named:
            problems.append(found("bad-segment", "another segment before it has the same id", png, number))
        elif number not in present:
            problems.append(found("segment-without-pixels", "no pixel has this id", png, number))
        else:
            named[number] = segment
    told = {s["id"] for s in segments if isinstance(s, dict) and isinstance(s.get("id"), int)}
    for number in sorted(present - told):
        problems.append(found("pixels-without-segment", "no segment has this id", png, number))
    return named


def _table(content: dict[str, Any], folder: Path, file: Path) -> Annotations:
    """Things as annotations of COCO, stuff under our own key."""
    categories = [one for one in content["categories"] if isinstance(one, dict)]
    is_thing = {id_key(one.get("id")): one.get("isthing", 1) in (1, True) for one in categories}
    problems: list[Problem] = []
    images, things, stuff, places = [], [], [], []
    for record in records_of(content, file, problems):
        images.append(record.image)
        rles = rles_by_value(np.where(np.isin(record.ids, list(record.segments)), record.ids, 0))
        for number, segment in record.segments.items():
            row = {
                "image_id": record.image["id"],
                "category_id": segment["category_id"],
                "segmentation": rles[number],
            }
            if not is_thing[id_key(segment["category_id"])]:
                stuff.append(row)
                continue
            crowd = segment.get("iscrowd", 0)
            things.append({"id": len(things) + 1, "iscrowd": crowd if crowd in (0, 1) else 0, **row})
            places.append((str(record.png), f"segment {number}"))
    coco: dict[str, Any] = {
        "images": images,
        "annotations": things,
        "categories": [one for one in categories if is_thing[id_key(one.get("id"))]],
    }
    kinds = [one for one in categories if not is_thing[id_key(one.get("id"))]]
    if kinds:
        coco[KEY] = {"categories": kinds, "annotations": stuff}
    table = annotations_from_coco(coco, folder, str(file), places=places)
    return replace(table, problems=(*problems, *table.problems))


def _files_in(path: Path) -> list[Path]:
    """Of a folder that holds instance files of COCO, too, those are meant; a panoptic one is then to be named."""
    folder = path if not path.is_dir() or json_files(path, "panoptic") else subfolder(path, ["annotations"])
    if folder is None or (folder.is_dir() and json_files(folder, "coco")):
        return []
    return json_files(folder, "panoptic")
