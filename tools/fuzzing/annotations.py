"""The seven annotation formats, through what checks, converts and trains on them."""

import io
import json
import random
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzzing.children import Target
from fuzzing.mutations import damaged_bytes, damaged_tree
from maskrcnn.cli.main import run_tool
from maskrcnn.config import DataSettings
from maskrcnn.training.data import prepare_data

HEIGHT, WIDTH = 30, 40
SQUARE = [5.0, 5.0, 20.0, 5.0, 20.0, 20.0, 5.0, 20.0]
Files = dict[str, Any]
"""By path: a tree for JSON, bytes for all else."""


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def _photo() -> bytes:
    return _png(np.random.RandomState(0).randint(0, 255, (HEIGHT, WIDTH, 3), np.uint8))


def _mask(value: int = 255) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:20, 5:20] = value
    return mask


def _coco() -> Files:
    size = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": i, "file_name": f"{i}.png", **size} for i in (1, 2)]
    common = {"category_id": 1, "bbox": [5, 5, 15, 15], "area": 225, "iscrowd": 0}
    runs = {"size": [HEIGHT, WIDTH], "counts": [155, 15, HEIGHT * WIDTH - 170]}
    annotations = [
        {"id": 1, "image_id": 1, "segmentation": [SQUARE], **common},
        {"id": 2, "image_id": 2, "segmentation": runs, **common, "iscrowd": 1},
        {"id": 3, "image_id": 2, "segmentation": [SQUARE, SQUARE[:6]], **common},
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
    files = {
        f"{i}.png1": {"filename": f"{i}.png", "size": 1, "regions": regions, "file_attributes": {}} for i in (1, 2)
    }
    return {"via.json": files}


def _labelme() -> Files:
    points = [SQUARE[i : i + 2] for i in range(0, 8, 2)]
    shapes = [
        {"label": "cell", "points": points, "shape_type": "polygon", "group_id": None, "flags": {}},
        {"label": "cell", "points": points[:2], "shape_type": "circle", "group_id": 1, "flags": {}},
        {"label": "cell", "points": points[::2], "shape_type": "rectangle", "group_id": 1, "flags": {}},
    ]
    record = {"version": "5.0", "flags": {}, "shapes": shapes, "imageData": None}
    record |= {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return {f"{i}.json": record | {"imagePath": f"{i}.png"} for i in (1, 2)}


def _yolo() -> Files:
    line = "0 " + " ".join(str(round(value / 40, 3)) for value in SQUARE) + "\n"
    names = b"path: .\ntrain: images\nval: images\nnames:\n  0: cell\n  1: other\n"
    labels = {f"labels/{i}.txt": (line * 2).encode() for i in (1, 2)}
    return {"data.yaml": names, **labels, **{f"images/{i}.png": _photo() for i in (1, 2)}}


def _voc() -> Files:
    files: Files = {"labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell:128,0,0::\n"}
    files["ImageSets/Segmentation/train.txt"] = b"1\n2\n"
    for i in (1, 2):
        color = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        color[5:20, 5:20] = (128, 0, 0)
        files |= {f"JPEGImages/{i}.png": _photo(), f"SegmentationObject/{i}.png": _png(color)}
        files[f"SegmentationClass/{i}.png"] = _png(color)
    return files


def _label_images() -> Files:
    names = ("images", "masks")
    return {f"{name}/{i}.png": _photo() if name == "images" else _png(_mask(1)) for name in names for i in (1, 2)}


def _object_masks() -> Files:
    parts = (("images/a", _photo()), ("masks/a", _png(_mask())), ("masks/b", _png(_mask())))
    return {f"{i}/{place}{i if place[0] == 'i' else ''}.png": data for i in ("p", "q") for place, data in parts}


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
    photos = {} if any(path.startswith(("images/", "JPEG", "p/")) for path in files) else {"1.png": 0, "2.png": 0}
    bad = rng.choice(sorted(path for path, content in files.items() if content is not _photo()))
    for path, content in files.items():
        if isinstance(content, dict):
            content = damaged_tree(content, rng) if path == bad and rng.random() < 0.7 else content
            data = json.dumps(content).encode("utf-8", "surrogatepass")
            data = damaged_bytes(data, rng) if path == bad and rng.random() < 0.3 else data
        else:
            data = damaged_bytes(content, rng) if path == bad else content
        (folder / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / path).write_bytes(data)
    for path in photos:
        (folder / "set" / path).write_bytes(_photo())


def _run(command: str, *argv: str) -> str:
    """What a command says, with its status; a sentence on stderr is no exception."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        status = run_tool(command, list(argv))
    return f"{status} {out.getvalue()}"


def _data(folder: Path) -> str:
    files = sorted((folder / "set").glob("*.json"))
    return str(files[0] if len(files) == 1 else folder / "set")


def _check(folder: Path) -> str:
    return _run("check_dataset", "--data", _data(folder), "--out", str(folder / "out"))


def _convert(folder: Path) -> str:
    told = _run("convert_dataset", _data(folder), str(folder / "converted"), "--val-fraction", "0.5")
    return told + "".join(path.read_text() for path in sorted((folder / "converted").glob("*.json")))


def _train(folder: Path) -> str:
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        prepare_data(DataSettings(train=_data(folder), val_fraction=0.5), 0, folder / "prepared")
    return told.getvalue()


ANNOTATION_TARGETS = tuple(
    Target(f"{door}-{name}", partial(_make, name), read)
    for name in SETS
    for door, read in (("check", _check), ("convert", _convert), ("train", _train))
)
