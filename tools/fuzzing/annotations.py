"""The seven annotation formats, through what checks, converts and trains on them."""

import hashlib
import io
import json
import random
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzzing.children import MAX_MESSAGE, SilentDifferenceError, Target
from fuzzing.mutations import damaged_bytes, damaged_tree
from maskrcnn.config import DataSettings
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.problems import KINDS, MEANINGS, DataError
from maskrcnn.data.reading import load_annotations
from maskrcnn.evaluation.dataset_check import check_dataset
from maskrcnn.report.dataset_text import problems_text
from maskrcnn.report.written import write_json
from maskrcnn.training.data import prepare_data

HEIGHT, WIDTH = 30, 40
PICTURES = (1, 2, 3, 4)
SPLIT_SEED = 0
ALLOWED = tuple(name for name, kind in KINDS.items() if kind.severity == "error" and kind.can_be_allowed)
SQUARE = [5.0, 5.0, 20.0, 5.0, 20.0, 20.0, 5.0, 20.0]
Files = dict[str, Any]
"""By path: a tree for JSON, bytes for all else."""


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def photo(number: int) -> bytes:
    """PNG of noise, another for each number."""
    return _png(np.random.RandomState(number).randint(0, 255, (HEIGHT, WIDTH, 3), np.uint8))


def _mask(value: int = 255) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:20, 5:20] = value
    return mask


def _coco() -> Files:
    size = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": i, "file_name": f"{i}.png", **size} for i in PICTURES]
    common = {"category_id": 1, "bbox": [5, 5, 15, 15], "area": 225, "iscrowd": 0}
    runs = {"size": [HEIGHT, WIDTH], "counts": [155, 15, HEIGHT * WIDTH - 170]}
    annotations = [
        {"id": 1, "image_id": 1, "segmentation": [SQUARE], **common},
        {"id": 2, "image_id": 2, "segmentation": runs, **common, "iscrowd": 1},
        {"id": 3, "image_id": 2, "segmentation": [SQUARE, SQUARE[:6]], **common},
        {"id": 4, "image_id": 3, "segmentation": [SQUARE], **common},
        {"id": 5, "image_id": 4, "segmentation": [SQUARE], **common},
    ]
    categories = [{"id": 1, "name": "cell", "supercategory": ""}]
    return {"set.json": {"images": images, "annotations": annotations, "categories": categories}}


def _via() -> Files:
    shapes = [
        {"name": "polygon", "all_points_x": SQUARE[::2], "all_points_y": SQUARE[1::2]},
        {"name": "circle", "cx": 12, "cy": 12, "r": 6},
        {"name": "ellipse", "cx": 12, "cy": 12, "rx": 6, "ry": 4, "theta": 0.5},
        {"name": "rect", "x": 3, "y": 3, "width": 9, "height": 9},
    ]
    regions = [{"shape_attributes": shape, "region_attributes": {"class": "cell"}} for shape in shapes]
    record = {"size": 1, "regions": regions, "file_attributes": {}}
    return {"via.json": {f"{i}.png1": {"filename": f"{i}.png", **record} for i in PICTURES}}


def _labelme() -> Files:
    points = [SQUARE[i : i + 2] for i in range(0, 8, 2)]
    shapes = [
        {"label": "cell", "points": points, "shape_type": "polygon", "group_id": None, "flags": {}},
        {"label": "cell", "points": points[:2], "shape_type": "circle", "group_id": 1, "flags": {}},
        {"label": "cell", "points": points[::2], "shape_type": "rectangle", "group_id": 1, "flags": {}},
    ]
    record = {"version": "5.0", "flags": {}, "shapes": shapes, "imageData": None}
    record |= {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return {f"{i}.json": record | {"imagePath": f"{i}.png"} for i in PICTURES}


def _yolo() -> Files:
    line = "0 " + " ".join(str(round(value / 40, 3)) for value in SQUARE) + "\n"
    names = b"path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cell\n  1: other\n"
    places = {i: f"{'val' if i == PICTURES[-1] else 'train'}/{i}" for i in PICTURES}
    labels = {f"labels/{place}.txt": (line * 2).encode() for place in places.values()}
    return {"data.yaml": names, **labels, **{f"images/{place}.png": photo(i) for i, place in places.items()}}


def _voc() -> Files:
    files: Files = {"labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell:128,0,0::\n"}
    files["ImageSets/Segmentation/train.txt"] = b"1\n2\n3\n4\n"
    color = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    color[5:20, 5:20] = (128, 0, 0)
    for i in PICTURES:
        files |= {f"JPEGImages/{i}.png": photo(i), f"SegmentationObject/{i}.png": _png(color)}
        files[f"SegmentationClass/{i}.png"] = _png(color)
    return files


def _label_images() -> Files:
    mask = _png(_mask(1))
    return {f"{part}/{i}.png": photo(i) if part == "images" else mask for part in ("images", "masks") for i in PICTURES}


def _object_masks() -> Files:
    mask = _png(_mask())
    photos = {f"p{i}/images/a{i}.png": photo(i) for i in PICTURES}
    return photos | {f"p{i}/masks/{letter}.png": mask for i in PICTURES for letter in "ab"}


SETS: dict[str, Callable[[], Files]] = {
    "coco": _coco,
    "via": _via,
    "labelme": _labelme,
    "yolo": _yolo,
    "voc": _voc,
    "label-images": _label_images,
    "object-masks": _object_masks,
}


def _make(name: str, folder: Path, rng: random.Random) -> None:
    files = SETS[name]()
    has_photos = any(path.endswith(".png") for path in files)
    bad = rng.choice(sorted(files))
    for path, content in files.items():
        if isinstance(content, dict):
            content = damaged_tree(content, rng) if path == bad and rng.random() < 0.7 else content
            data = json.dumps(content).encode("utf-8", "surrogatepass")
            data = damaged_bytes(data, rng) if path == bad and rng.random() < 0.3 else data
        else:
            data = damaged_bytes(content, rng) if path == bad else content
        (folder / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / path).write_bytes(data)
    if not has_photos:
        for i in PICTURES:
            (folder / "set" / f"{i}.png").write_bytes(photo(i))


def _data(folder: Path) -> Path:
    files = sorted((folder / "set").glob("*.json"))
    return files[0] if len(files) == 1 else folder / "set"


def _check(folder: Path) -> str:
    check = check_dataset(_data(folder))
    told = f"{check.verdict} {_digest(check.text())}"
    if not check.is_usable:
        raise ValueError(told)
    return told


def _page(folder: Path) -> str:
    check = check_dataset(_data(folder))
    return check.write(folder / "out").read_text(encoding="utf-8")[-300:] + check.verdict


def _convert(folder: Path) -> str:
    """Written as COCO and read again, which must be the same objects."""
    told = ""
    splits = read_dataset(_data(folder), None)
    for split, annotations in splits.items():
        annotations = annotations.without_missing_images().usable()
        path = folder / f"{split}.json"
        write_json(path, annotations.coco)
        again = load_annotations(path, annotations.image_folder)
        numbers = (len(annotations), len(annotations.names)), (len(again), len(again.names))
        if numbers[0] != numbers[1]:
            raise SilentDifferenceError(f"{split}: (images, objects) were {numbers[0]}, read from COCO {numbers[1]}")
        told += f"{split} {_digest(path.read_text(encoding='utf-8'))} "
    rows = [problem.row_of_table() for one in splits.values() for problem in one.problems]
    told += problems_text(rows, MEANINGS) if rows else ""
    if any(row[0] == "error" for row in rows):
        raise ValueError(_digest(told))
    return told


def _train(folder: Path) -> str:
    """As it is, and where that is refused without what has errors that may be allowed."""
    settings = DataSettings(train=str(_data(folder)), val_fraction=0.5)
    try:
        told, sets = "", prepare_data(settings, SPLIT_SEED, folder / "prepared")
    except DataError as error:
        if len(str(error)) > MAX_MESSAGE:
            raise
        allowed = settings.model_copy(update={"allow": ALLOWED})
        told, sets = str(error), prepare_data(allowed, SPLIT_SEED, folder / "prepared")
    _, (train, val) = sets
    return f"{told} {len(train)} {len(train.names)} {len(val) if val is not None else None}"


def _digest(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogatepass")).hexdigest()


ANNOTATION_TARGETS = (
    *(
        Target(f"{door}-{name}", partial(_make, name), read)
        for name in SETS
        for door, read in (("check", _check), ("convert", _convert), ("train", _train))
    ),
    *(Target(f"page-{name}", partial(_make, name), _page, share=0.05) for name in SETS),
)
