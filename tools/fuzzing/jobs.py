"""What a job left behind and takes up again: the records of a folder job, and the checkpoint of a training run."""

import hashlib
import io
import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from fuzzing.annotation_sets import SETS, write_set
from fuzzing.children import SilentDifferenceError, Target
from fuzzing.mutations import damaged_bytes, damaged_tree
from maskrcnn.config import Config, model_settings, validate
from maskrcnn.data.reading import load_annotations
from maskrcnn.prediction.file_state import state_of
from maskrcnn.prediction.job_records import Records
from maskrcnn.training.trainer import Trainer


def _make_records(folder: Path, rng: random.Random) -> None:
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


def _read_records(folder: Path) -> str:
    with Records(folder / ".done", "key") as records:
        records.load([folder / "a.png"], lambda _: None)
        return f"{[(done.counts, list(records.objects(file))) for file, done in records.done.items()]}"


@cache
def _trainer() -> tuple[Trainer, bytes, str]:
    """A run after one step, its last.pt, and what `_state` says of it."""
    model = model_settings(
        resize={"mode": "scale", "scale": 1.0},
        backbone={"depth": 18, "stem_channels": 4},
        fpn={"channels": 4},
        box_head={"fc_channels": 4},
        mask_head={"channels": 4, "convs": 1},
        class_names=["cell"],
    ).model_dump(mode="json")
    train = {"steps": 3, "batch_size": 1, "warmup_steps": 1, "workers": 0, "average_decay": 0.9}
    config = validate(Config, {"model": model, "train": train}, "the fuzzer")
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder), SETS["coco"]())
        trainer = Trainer(config, load_annotations(Path(folder) / "set.json", folder).light(), None, folder)
        _step(trainer)  # the optimiser has buffers then
        trainer.progress = trainer.progress.model_copy(update={"step": 1})
        trainer.save()
        return trainer, (Path(folder) / "last.pt").read_bytes(), _state(trainer)


def _step(trainer: Trainer) -> None:
    """As far as a step depends on what is resumed."""
    for parameter in trainer.model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    trainer.optimizer.step()
    trainer.schedule.step()


def _state(trainer: Trainer) -> str:
    digest = hashlib.md5(str((trainer.progress, trainer.schedule.last_epoch)).encode("utf-8", "surrogatepass"))
    buffers = [buffer for state in trainer.optimizer.state.values() for buffer in state.values()]
    for tensor in [*trainer.model.state_dict().values(), *buffers, torch.get_rng_state()]:
        digest.update(repr(tensor).encode() if not isinstance(tensor, torch.Tensor) else tensor.numpy().tobytes())
    return digest.hexdigest()


def _make_run(folder: Path, rng: random.Random) -> None:
    _, data, _ = _trainer()
    if rng.random() < 0.5:
        (folder / "flipped").touch()
        (folder / "last.pt").write_bytes(damaged_bytes(data, rng))
    else:
        torch.save(damaged_tree(torch.load(io.BytesIO(data), weights_only=True), rng), folder / "last.pt")


def _read_run(folder: Path) -> str:
    trainer, _, intact = _trainer()
    trainer.out = folder
    trainer.restore()
    told = _state(trainer)
    if (folder / "flipped").exists() and told != intact:
        raise SilentDifferenceError("resumed from damaged bytes, with another state than was saved")
    _step(trainer)
    return told


JOB_TARGETS = (
    Target("done-records", _make_records, _read_records),
    Target("run-state", _make_run, _read_run),
)
