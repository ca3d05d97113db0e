"""What a job left behind and takes up again: the records of a folder job, and the checkpoint of a training run."""

import json
import random
from pathlib import Path
from typing import Any

from fuzzing.children import Target
from fuzzing.mutations import damaged_bytes, damaged_tree
from maskrcnn.prediction.job_records import Records, state_of


def _make(folder: Path, rng: random.Random) -> None:
    (folder / "a.png").write_bytes(b"x")
    (folder / ".done").mkdir()
    annotation = {"id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "segmentation": {"counts": "x"}}
    record: dict[str, Any] = {
        "settings": "key",
        "file": list(state_of(folder / "a.png")),
        "figure": None,
        "size": [10, 10],
        "counts": {"cell": 1},
        "ceilings": [],
        "doubles": 0,
        "annotations": [annotation],
    }
    lines = [json.dumps(record if rng.random() < 0.3 else damaged_tree(record, rng)) for _ in range(3)]
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    (folder / ".done" / "1.jsonl").write_bytes(data if rng.random() < 0.5 else damaged_bytes(data, rng))


def _read(folder: Path) -> str:
    with Records(folder / ".done", "key") as records:
        records.load([folder / "a.png"], {})
        return f"{[(done.counts, records.annotations(file)) for file, done in records.done.items()]}"


JOB_TARGETS = (Target("done-records", _make, _read),)
