"""Kill `infer` and `train` at random instants, give the command again, and compare with a run that was left alone."""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.config import model_settings
from maskrcnn.files import TEMPORARY_PREFIX
from maskrcnn.model.build import build_model
from maskrcnn.structures.rle import encode

TOOLS = Path(__file__).parent
SIDE, NUM_OBJECTS = 256, 6
NUM_TRAIN = 4
TINY: dict[str, dict] = {
    "resize": {"mode": "scale", "scale": 1.0},
    "backbone": {"depth": 18, "stem_channels": 32, "norm": "gn"},
    "fpn": {"channels": 32, "norm": "none"},
    "anchors": {"sizes": (16, 32, 64, 128, 256)},
    "rpn": {"pre_nms_top_n": 100, "post_nms_top_n": 50, "train_pre_nms_top_n": 100, "train_post_nms_top_n": 50},
    "box_head": {"fc_channels": 32},
    "mask_head": {"convs": 1, "channels": 32},
    "detection": {"score_threshold": 0.2, "max_detections": 20},
}
TRAINING = {"steps": 12, "batch_size": 1, "workers": 0, "warmup_steps": 2, "checkpoint_every": 3, "evaluate_every": 6}
COMPARED_OF_TRAIN = ("*.safetensors",)
COMPLETE = "the run is complete"
"""What `train --resume` says to a run that was killed after its last step; its results are compared all the same."""
TIMEOUT_S = 600
MAX_DRAWS = 10
"""Of an instant that hits the run."""

Command = list[str | Path]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--infer", type=int, default=50, help="kills of infer (default: %(default)s)")
    parser.add_argument("--train", type=int, default=20, help="kills of train (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=24, help="that infer counts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the instants (default: %(default)s)")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        weights = _write_weights(folder / "tiny.safetensors")
        if args.infer:
            _write_pictures(folder / "in", args.pictures)
            command = [TOOLS / "infer.py", folder / "in", "--weights", weights, "--device", "cpu", "--out"]
            rows.append(_tried("infer", args.infer, args.seed, folder, lambda out: [*command, out], _all_files))
        if args.train:
            config = _write_training(folder)

            def train(out: Path) -> Command:
                if (out / "last.pt").exists():
                    return [TOOLS / "train.py", "--device", "cpu", "--resume", out]
                shutil.rmtree(out, ignore_errors=True)  # killed before its first checkpoint
                return [TOOLS / "train.py", "--device", "cpu", "--config", config, "--out", out]

            rows.append(_tried("train", args.train, args.seed, folder, train, _trained_files))
    print("| command | run alone, s | kills | hit the run | results equal | temporary files left |")
    print("|---|---:|---:|---:|---:|---:|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    return 0 if all(row[2] == row[3] == row[4] and row[5] == 0 for row in rows) else 1


def _tried(
    name: str,
    num_kills: int,
    seed: int,
    folder: Path,
    command: Callable[[Path], Command],
    results: Callable[[Path], Mapping[str, bytes]],
) -> tuple[str, str, int, int, int, int]:
    """A row of the table. Kills fall evenly between the first thing written and the end of a run that is left alone.

    A run that ends before its instant, since the machine has more time for it than before, tells how long runs take
    now, and that kill is drawn again.
    """
    alone = folder / f"{name}_alone"
    begin = time.monotonic()
    process = _started(command(alone))
    while not alone.exists() and process.poll() is None:
        time.sleep(0.01)
    first = time.monotonic() - begin
    _finished(process)
    last = time.monotonic() - begin
    expected = results(alone)
    rng = random.Random(seed)
    alone_s = last
    num_hit = num_equal = num_left = 0
    for kill in range(num_kills):
        out = folder / f"{name}_killed"
        for _ in range(MAX_DRAWS):
            instant = rng.uniform(min(first, last), last)
            if (ended := _killed(command(out), instant)) is None:
                num_hit += 1
                break
            last = min(last, ended)
            shutil.rmtree(out)
        _finished(_started(command(out)))
        found = results(out)
        num_equal += found == expected
        num_left += sum(1 for _ in out.rglob(f"{TEMPORARY_PREFIX}*"))
        other = sorted(file for file in {*found, *expected} if found.get(file) != expected.get(file))
        print(
            f"{name} {kill + 1}: killed after {instant:.2f} s, {'differs: ' + ', '.join(other) if other else 'equal'}"
        )
        shutil.rmtree(out)
    return name, f"{alone_s:.1f}", num_kills, num_hit, num_equal, num_left


def _killed(command: Command, instant: float) -> float | None:
    """Run a command and kill it after so many seconds; None, or after how many it had ended by itself."""
    process, begin = _started(command), time.monotonic()
    try:
        process.communicate(timeout=instant)
        return time.monotonic() - begin
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None


def _started(command: Command) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOOLS.parent)}
    arguments = [sys.executable, *map(str, command)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finished(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=TIMEOUT_S)
    if process.returncode and COMPLETE not in said:
        raise RuntimeError(f"{' '.join(map(str, process.args))}: exit status {process.returncode}\n{said}")  # pyright: ignore[reportArgumentType]


def _all_files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def _trained_files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for pattern in COMPARED_OF_TRAIN for path in out.glob(pattern)}


def _write_weights(path: Path) -> Path:
    """A model with random weights that finds something everywhere."""
    settings = model_settings("maskrcnn", "kill_harness", class_names=("disc",), **TINY)
    torch.manual_seed(1)
    save_checkpoint(path, build_model(settings).state_dict(), settings, {"note": "random weights"})
    return path


def _write_pictures(folder: Path, num: int, seed: int = 0) -> list[list[np.ndarray]]:
    """Pictures of discs; gives the bitmap of each disc."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    truth = []
    for i in range(num):
        image = rng.integers(0, 60, (SIDE, SIDE), dtype=np.uint8)
        centres = rng.integers(30, SIDE - 30, (NUM_OBJECTS, 2))
        discs = [(rows - y) ** 2 + (columns - x) ** 2 <= 20**2 for y, x in centres]
        for disc in discs:
            image[disc] += 120 if image[disc].max() < 60 else 0
        cv2.imwrite(str(folder / f"{i:03d}.png"), image)
        truth.append(discs)
    return truth


def _write_training(folder: Path) -> Path:
    """A configuration of a short run, and its data."""
    for seed, (split, num) in enumerate((("train", NUM_TRAIN), ("val", 1))):
        truth = _write_pictures(folder / split, num, seed)
        images = [{"id": i, "file_name": f"{i:03d}.png", "height": SIDE, "width": SIDE} for i in range(num)]
        annotations = []
        for i, discs in enumerate(truth):
            for disc in discs:
                y, x = (np.flatnonzero(disc.any(axis=axis)) for axis in (1, 0))
                box = [int(x[0]), int(y[0]), len(x), len(y)]
                found = {"id": len(annotations) + 1, "image_id": i, "category_id": 1, "bbox": box, "iscrowd": 0}
                annotations.append({**found, "area": int(disc.sum()), "segmentation": encode(disc)})
        document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "disc"}]}
        (folder / f"{split}.json").write_text(json.dumps(document))
    config = {
        "data": {name: str(folder / f"{name}.json") for name in ("train", "val")}
        | {"images": str(folder / "train"), "val_images": str(folder / "val")},
        "model": {
            name: {k: list(v) if isinstance(v, tuple) else v for k, v in group.items()} for name, group in TINY.items()
        },
        "train": TRAINING,
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


if __name__ == "__main__":
    sys.exit(main())
