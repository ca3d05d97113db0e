"""The instances.json of `infer`, given to `maskrcnn convert`, and what that writes."""

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.annotation_sets import HEIGHT, PICTURES, WIDTH, photo
from fuzzing.annotations import damaged_file
from fuzzing.children import Target
from maskrcnn.cli.convert import build_parser, execute
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.report.export.formats import FORMATS
from maskrcnn.structures.rle import encode


def _instances() -> dict[str, Any]:
    """Two objects in each image, one with a hole, and one page of a stack."""
    solid = np.zeros((HEIGHT, WIDTH), bool)
    solid[5:20, 5:20] = True
    holed = solid.copy()
    holed[8:12, 8:12] = False
    document = coco_dict([], ("cell", "other"), None)
    images: list[dict[str, Any]] = [
        {"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in PICTURES
    ]
    images[-1] |= {"page": 0}
    annotations: list[dict[str, Any]] = []
    for i in PICTURES:
        for number, mask in enumerate((solid, holed), start=1):
            known = {"id": len(annotations) + 1, "image_id": i, "number": number, "category_id": number}
            box = {"bbox": [5.0, 5.0, 15.0, 15.0], "score": 0.75, "area": int(mask.sum()), "iscrowd": 0}
            annotations.append(known | box | {"segmentation": encode(mask)})
    return copy.deepcopy(document | {"images": images, "annotations": annotations})


def _make(folder: Path, rng: random.Random) -> None:
    (folder / "instances.json").write_bytes(damaged_file("instances.json", _instances(), rng))
    (folder / "formats.txt").write_text(" ".join(rng.sample(sorted(FORMATS), 3)))
    if rng.random() < 0.5:
        (folder / "images").mkdir()
        for i in PICTURES:
            (folder / "images" / f"{i}.png").write_bytes(photo(i))


def _read(folder: Path) -> str:
    """Names and contents of all that is written, archives without their times."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    formats = (folder / "formats.txt").read_text().split()
    images = ["--images", str(folder / "images")] if (folder / "images").exists() else []
    arguments = [str(folder / "instances.json"), "--to", *formats, "--out", str(folder / "out"), *images]
    status = execute(build_parser().parse_args(arguments))
    files = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
    return json.dumps([status, [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]])


EXPORT_TARGETS = (Target("convert-instances", _make, _read, share=2.0),)
