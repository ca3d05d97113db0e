"""Files of regions, as `infer --region` reads and uses them."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.annotation_sets import SETS, rois, zipped
from fuzzing.annotations import damaged_file
from fuzzing.children import Target
from maskrcnn.data.regions import read_regions
from maskrcnn.report.regions import membership, names_of

POINTS = np.stack(np.meshgrid(np.arange(40.0), np.arange(30.0)), axis=2).reshape(-1, 2) + 0.5


def _files() -> dict[str, Any]:
    files: dict[str, Any] = {"q.geojson": SETS["geojson"]()["1.geojson"], "l.json": SETS["labelme"]()["1.json"]}
    files["b.json"] = files["q.geojson"]["features"]
    return files | {"z.zip": zipped(rois())} | rois()


def _make(folder: Path, rng: random.Random) -> None:
    name, content = rng.choice(sorted(_files().items()))
    (folder / name).write_bytes(damaged_file(name, content, rng))


def _read(folder: Path) -> str:
    (path,) = folder.iterdir()
    regions = read_regions(path)
    is_in = membership(POINTS, regions)
    told = [
        (region.name, len(region.rings), region.area_px, int(is_in[:, i].sum())) for i, region in enumerate(regions)
    ]
    return json.dumps([told, names_of(is_in[:3], regions)])


REGION_TARGETS = (Target("regions", _make, _read, share=2.0),)
