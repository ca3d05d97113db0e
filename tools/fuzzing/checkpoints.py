"""Checkpoints of every kind, and the settings inside ours."""

import collections
import hashlib
import io
import json
import pickle
import pickletools
import random
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors.torch
import torch
import yaml

from fuzzing.children import Target
from fuzzing.mutations import damaged_bytes, damaged_tree
from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.checkpoints.families.detectron2_config import config_beside
from maskrcnn.checkpoints.families.detectron2_keys import settings_in as detectron2_settings
from maskrcnn.checkpoints.families.mmdetection_config import config_of
from maskrcnn.checkpoints.families.mmdetection_keys import settings_in as mmdetection_settings
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.source import Source
from maskrcnn.checkpoints.weights import load_weights
from maskrcnn.config import Config, ModelSettings, load_config, model_settings, validate
from maskrcnn.model.build import build_model

WEIGHT = torch.arange(12.0).reshape(3, 4)


def _small() -> ModelSettings:
    return model_settings(
        backbone={"depth": 18, "stem_channels": 4},
        fpn={"channels": 4},
        box_head={"fc_channels": 4},
        mask_head={"channels": 4, "convs": 1},
    )


@cache
def checkpoint_files() -> dict[str, bytes]:
    """Small ones of every kind, by name."""
    state = {"backbone.conv1.weight": WEIGHT, "backbone.bn1.num_batches_tracked": torch.tensor(3)}
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    files = {"s.safetensors": safetensors.torch.save(state, {"note": "x"})}
    for name, is_zip in (("zip.pth", True), ("legacy.pth", False)):
        buffer = io.BytesIO()
        content = {"model": state, "meta": {"config": "model = dict(type='x')", "CLASSES": ("a", "b")}, "epoch": 3}
        torch.save(content, buffer, _use_new_zipfile_serialization=is_zip)
        files[name] = buffer.getvalue()
    for protocol in (2, 4):
        files[f"{protocol}.pkl"] = pickle.dumps({"model": arrays, "matching_heuristics": True}, protocol)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("conv1/conv1/kernel:0", data=WEIGHT.numpy())
        file.create_dataset("bn/bn/gamma:0", data=np.ones(100), chunks=(50,), compression="gzip")
    files["k.h5"] = buffer.getvalue()
    return files


def _make_any(folder: Path, rng: random.Random) -> None:
    name, data = rng.choice(sorted(checkpoint_files().items()))
    (folder / name).write_bytes(damaged_bytes(data, rng))


_PIECES = (
    *(bytes([code]) for code in b"()]}tldaesu021RbQN\x81\x85\x86\x87\x8f\x90\x91\x94"),
    *(b"K\x02", b"J\xff\xff\xff\x7f", b"U\x01x", b"X\x01\x00\x00\x00y", b"\x8c\x01z", b"\x8a\x04\xff\xff\xff\x7f"),
    *(b"q\x01", b"h\x01", b"q\x02", b"h\x02", b"G@\x00\x00\x00\x00\x00\x00\x00"),
    *(b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n"),
    *(b"ccollections\nOrderedDict\n", b"cbuiltins\nset\n", b"c_codecs\nencode\n"),
    *(b"X\x06\x00\x00\x00latin1", b"X\x02\x00\x00\x00f4"),
)
"""Opcodes of pickle, with what often follows them."""


def _make_pickle(folder: Path, rng: random.Random) -> None:
    """Opcodes in any order; or a valid pickle, in which a few more stand."""
    if rng.random() < 0.4:
        parts = [b"\x80\x02", *(rng.choice(_PIECES) for _ in range(rng.choice((5, 20, 80, 400)))), b"."]
        (folder / "a.pkl").write_bytes(b"".join(parts))
        return
    data = pickle.dumps({"model": _state(rng), "note": _plain(rng, 3)}, rng.choice((2, 3, 4, 5)))
    for _ in range(rng.choice((0, 0, 1, 2))):
        places = [place for _, _, place in pickletools.genops(data) if place]
        at = rng.choice(places)
        piece = rng.choice(_PIECES)
        data = data[:at] + piece + data[at:]
        try:
            list(pickletools.genops(data))
        except ValueError:  # no more to count in
            break
    (folder / "a.pkl").write_bytes(data)


def _state(rng: random.Random) -> dict[str, Any]:
    """Arrays of any type and layout, some of them twice."""
    arrays: dict[str, Any] = collections.OrderedDict() if rng.random() < 0.5 else {}
    for i in range(rng.randrange(1, 6)):
        shape = tuple(rng.randrange(5) for _ in range(rng.randrange(4)))
        array = np.ones(shape, rng.choice(("f4", "f8", "f2", "i8", "i4", "u1", "?", ">f4", "i2")))
        arrays[f"layer{i}.weight"] = np.asfortranarray(array) if rng.random() < 0.3 else array
    if rng.random() < 0.3:
        arrays["again"] = next(iter(arrays.values()))
    return arrays


def _plain(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(8 if depth else 5)
    if kind < 5:
        return rng.choice((None, True, 3, -(2**40), 0.5, "text", b"bytes", "", 2**100))
    parts = [_plain(rng, depth - 1) for _ in range(rng.randrange(4))]
    return parts if kind == 5 else tuple(parts) if kind == 6 else {str(i): part for i, part in enumerate(parts)}


def _read_source(folder: Path) -> str:
    (path,) = folder.iterdir()
    source = read_source(path)
    return str({name: f"{tuple(tensor.shape)} {_digest(tensor)}" for name, tensor in sorted(source.tensors.items())})


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.md5(
        tensor.reshape(-1).clone(memory_format=torch.contiguous_format).view(torch.uint8).numpy().tobytes()
    ).hexdigest()


@cache
def _own() -> tuple[dict[str, Any], dict[str, torch.Tensor], bytes]:
    settings = _small()
    torch.manual_seed(0)
    tensors = build_model(settings).state_dict()
    path = Path("/dev/shm" if Path("/dev/shm").is_dir() else ".") / "fuzz.safetensors"
    save_checkpoint(path, tensors, settings, {"steps": 1})
    data = path.read_bytes()
    path.unlink()
    return settings.model_dump(mode="json"), tensors, data


def _make_own(folder: Path, rng: random.Random) -> None:
    settings, tensors, data = _own()
    path = folder / "own.safetensors"
    if rng.random() < 0.4:
        path.write_bytes(damaged_bytes(data, rng))
        return
    content = {"settings": settings, "card": {"steps": 1}, "untrained": []}
    content = damaged_tree(content, rng)
    text = json.dumps(content)
    path.write_bytes(safetensors.torch.save(tensors, {"maskrcnn": text}))


def _read_own(folder: Path) -> str:
    checkpoint = load_weights(folder / "own.safetensors")
    checkpoint.build()
    return checkpoint.settings.model_dump_json()


_D2 = {
    "MODEL": {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "PIXEL_MEAN": [103.5, 116.3, 123.7],
        "ANCHOR_GENERATOR": {"SIZES": [[32], [64], [128], [256], [512]], "ASPECT_RATIOS": [[0.5, 1.0, 2.0]]},
        "RPN": {"BBOX_REG_WEIGHTS": "(1.0, 1.0, 1.0, 1.0)"},
    },
    "INPUT": {"FORMAT": "BGR", "MIN_SIZE_TEST": 800},
    "DATASETS": {"TRAIN": ["coco_2017_train"]},
}
_MMDET = """
_base_ = ['./mask-rcnn_r50_fpn.py']
norm = dict(mean=[123.675, 116.28, 103.53], std=[1, 2, 3], to_rgb=True)
model = dict(type='MaskRCNN', backbone=dict(type='ResNet', depth=50), test_cfg=dict(rcnn=dict(score_thr=0.05)))
test_pipeline = [dict(type='Normalize', **norm), dict(type='Pad', size_divisor=32)]
"""


def _make_run_config(folder: Path, rng: random.Random) -> None:
    run = {"model": _small().model_dump(mode="json"), "train": Config().train.model_dump(mode="json"), "data": {}}
    if rng.random() < 0.5:  # of hundreds of settings few are hit
        run = {"model": {"class_names": ["a"]}, "train": {"steps": 3, "augment": {"crop": 48}}, "data": {"train": "a"}}
    text = yaml.safe_dump(damaged_tree(run, rng)).encode("utf-8", "replace")
    (folder / "run.yaml").write_bytes(text if rng.random() < 0.7 else damaged_bytes(text, rng))


def _read_run_config(folder: Path) -> str:
    return load_config(folder / "run.yaml").model_dump_json()


def _make_settings(folder: Path, rng: random.Random) -> None:
    settings = damaged_tree(_small().model_dump(mode="json"), rng)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


def _read_settings(folder: Path) -> str:
    """As they stand in a checkpoint."""
    values = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return validate(ModelSettings, values, "settings.json").model_dump_json()


def _make_detectron2(folder: Path, rng: random.Random) -> None:
    text = yaml.safe_dump(damaged_tree(_D2, rng), allow_unicode=True).encode("utf-8", "replace")
    (folder / "a.yaml").write_bytes(text if rng.random() < 0.5 else damaged_bytes(text, rng))


def _read_detectron2(folder: Path) -> str:
    config, notes = config_beside(folder / "a.pth")
    if config is None:
        raise ValueError(str(notes))
    return str((detectron2_settings(config, {}, 80, "detectron2_msra"), notes))


def _make_mmdetection(folder: Path, rng: random.Random) -> None:
    (folder / "a.py").write_bytes(damaged_bytes(_MMDET.encode(), rng))


def _read_mmdetection(folder: Path) -> str:
    config, notes = config_of(Source(folder / "a.pth", {}))
    if config is None:
        raise ValueError(str(notes))
    return str((mmdetection_settings(config, {}, "mmdet_pytorch", False), notes))


CHECKPOINT_TARGETS = (
    Target("checkpoint", _make_any, _read_source, share=2.0),
    Target("pickle", _make_pickle, _read_source, share=2.0),
    Target("own-checkpoint", _make_own, _read_own),
    Target("settings", _make_settings, _read_settings),
    Target("run-config", _make_run_config, _read_run_config),
    Target("detectron2-config", _make_detectron2, _read_detectron2),
    Target("mmdetection-config", _make_mmdetection, _read_mmdetection),
)
