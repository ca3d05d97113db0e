"""Training steps of ours and of torchvision's, in turn: the same images, batch, network and initial weights.

Each run is a process of its own, so that its peak memory is its own; loading, augmenting (resize and flip) and the
optimiser's step are all in the time. torchvision's loop is that of its reference scripts, with dense masks from the
same COCO annotations.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from pycocotools.coco import COCO
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from maskrcnn.checkpoints.importing import import_checkpoint
from maskrcnn.config import Config, overlay, validate
from maskrcnn.data.images import read_image
from maskrcnn.data.loading import training_batches
from maskrcnn.data.reading import load_annotations
from maskrcnn.model.build import build_model
from maskrcnn.training.augmentation import build_transforms
from maskrcnn.training.schedule import build_optimizer
from maskrcnn.training.step import TrainingStep

SIDES = {"torchvision fp32": ("torchvision", "fp32"), "ours fp32": ("ours", "fp32"), "ours bf16": ("ours", "bf16")}
LEARNING_RATE = 1e-4  # random weights stay in the range where both losses are finite


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: %(prog)s --annotations a.json --images dir")
    add = parser.add_argument
    add("--annotations", required=True, help="COCO JSON")
    add("--images", required=True, help="folder of its images")
    add("--body", default="resnet50", help="ResNet under the pyramid (default: %(default)s)")
    add("--shortest-edge", type=int, default=480, help="px of the network's input (default: %(default)s)")
    add("--batch", type=int, default=2, help="images of a step (default: %(default)s)")
    add("--steps", type=int, default=4, help="timed steps of a run, after one that is not (default: %(default)s)")
    add("--rounds", type=int, default=3, help="runs of each (default: %(default)s)")
    add("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    add("--run", help=argparse.SUPPRESS)
    add("--weights", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.run:
        print(json.dumps(_time_run(args)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        torch.manual_seed(0)
        torch.save(_their_model(args).state_dict(), weights)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(args.rounds):
            for side in SIDES:  # in turn, since the speed of a shared machine drifts
                command = [sys.executable, *sys.argv, "--run", side, "--weights", str(weights)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[side].append(json.loads(done.stdout.splitlines()[-1]))
    _print(args, runs)
    return 0


def _time_run(args: argparse.Namespace) -> dict[str, Any]:
    package, precision = SIDES[args.run]
    step = _their_steps(args) if package == "torchvision" else _our_steps(args, precision)
    next(step)
    seconds = []
    for _ in range(args.steps):
        started = time.perf_counter()
        loss = next(step)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak_bytes": peak, "loss": loss}


def _their_model(args: argparse.Namespace) -> TorchvisionMaskRCNN:
    num_classes = len(load_annotations(args.annotations, args.images).class_names)
    backbone = resnet_fpn_backbone(backbone_name=args.body, weights=None, trainable_layers=5)
    longest = args.shortest_edge * 1333 // 800
    return TorchvisionMaskRCNN(backbone, num_classes + 1, min_size=args.shortest_edge, max_size=longest)


def _their_steps(args: argparse.Namespace) -> Iterator[float]:
    """The loop of torchvision's references/detection, on the same order of images."""
    model = _their_model(args).train()
    model.load_state_dict(torch.load(args.weights, weights_only=True))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    coco, rng = COCO(args.annotations), np.random.default_rng(0)
    labels = {category: i + 1 for i, category in enumerate(sorted(coco.getCatIds()))}
    order = [i for i in np.random.default_rng(0).permutation(sorted(coco.getImgIds())).tolist() if coco.getAnnIds(i)]
    for first in range(0, 10**9, args.batch):
        images, targets = [], []
        for i in range(first, first + args.batch):
            record = coco.loadImgs(order[i % len(order)])[0]
            image = torch.from_numpy(read_image(Path(args.images) / record["file_name"])).permute(2, 0, 1) / 255
            annotations = coco.loadAnns(coco.getAnnIds(record["id"], iscrowd=False))
            masks = torch.from_numpy(np.stack([coco.annToMask(one) for one in annotations]))
            boxes = torch.tensor([one["bbox"] for one in annotations], dtype=torch.float32)
            boxes[:, 2:] += boxes[:, :2]
            if rng.random() < 0.5:
                image, masks = image.flip(-1), masks.flip(-1)
                boxes[:, [0, 2]] = record["width"] - boxes[:, [2, 0]]
            target = {"boxes": boxes, "labels": torch.tensor([labels[one["category_id"]] for one in annotations])}
            images.append(image)
            targets.append({**target, "masks": masks})
        loss = torch.stack(list(model(images, targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield float(loss.detach())


def _our_steps(args: argparse.Namespace, precision: str) -> Iterator[float]:
    imported = import_checkpoint(args.weights)
    longest = args.shortest_edge * 1333 // 800
    smaller = {"resize": {"shortest_edge": args.shortest_edge, "longest_edge": longest}}
    train = {"batch_size": args.batch, "learning_rate": LEARNING_RATE, "precision": precision}
    values = {"model": overlay(imported.settings.model_dump(), smaller), "train": train}
    config = validate(Config, values, "benchmark")
    model = build_model(config.model)
    model.load_state_dict(imported.tensors)
    model = model.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    dataset = load_annotations(args.annotations, args.images)
    transforms = build_transforms(config.train.augment, model.resize)
    batches = training_batches(dataset, transforms, args.batch, 0, 0, 10**9, workers=0)
    optimizer, step = build_optimizer(model, config.train), TrainingStep(model, config.train, torch.device("cpu"))
    for number, batch in enumerate(batches):
        yield step(batch, optimizer, number)["total"]


def _print(args: argparse.Namespace, runs: dict[str, list[dict[str, Any]]]) -> None:
    print(
        f"{platform.processor() or platform.machine()}, {args.threads} threads of {os.cpu_count()}, torch "
        f"{torch.__version__}, torchvision {torchvision.__version__}; {args.body}-FPN, shorter side "
        f"{args.shortest_edge} px, batch {args.batch}; {args.rounds} runs of {args.steps} steps, in turn"
    )
    per_image: dict[str, list[float]] = {}
    for side, done in runs.items():
        per_image[side] = [s / args.batch for run in done for s in run["seconds"]]
    peak = {side: statistics.median(run["peak_bytes"] for run in done) for side, done in runs.items()}
    base = "torchvision fp32"
    print(f"{'':17}  s/image (min..max)      images/s  faster   peak memory  of theirs")
    pick: Callable[[list[float]], float] = statistics.median
    for side, values in per_image.items():
        print(
            f"{side:17}  {pick(values):6.2f} ({min(values):.2f}..{max(values):.2f})   {1 / pick(values):10.3f}  "
            f"{pick(per_image[base]) / pick(values):5.2f}x  {peak[side] / 1e9:8.2f} GB  {peak[side] / peak[base]:8.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
