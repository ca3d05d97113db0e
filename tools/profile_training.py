"""Where the time of a training step goes: a few steps of a run's configuration, part by part.

What runs is what trains: from outside, the functions of each part are exchanged for timed ones. A part's time is
without that of the parts inside it, so the shares add up. On CUDA the device is waited for around every part, which
slows a step; the first line then tells the speed of steps without that.
"""

import argparse
import functools
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from maskrcnn.config import Config, load_config
from maskrcnn.data import annotations, loading
from maskrcnn.data.annotations import Annotations
from maskrcnn.data.loading import Batch, CopyPaste, training_batches
from maskrcnn.data.reading import load_annotations
from maskrcnn.model import rpn
from maskrcnn.model.box_head import BoxHead
from maskrcnn.model.fpn import FPN
from maskrcnn.model.mask_head import MaskHead
from maskrcnn.model.preprocess import Normalise
from maskrcnn.model.resnet import ResNet
from maskrcnn.model.roi_pooler import RoIPooler
from maskrcnn.model.rpn import RPN, Anchors
from maskrcnn.prediction.execution import choose_device
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets
from maskrcnn.training import trainer as trainer_module
from maskrcnn.training.augmentation import build_transforms
from maskrcnn.training.averaging import WeightAverage
from maskrcnn.training.records import RunRecords
from maskrcnn.training.trainer import Trainer

WARM_UP = 2  # steps before the timed ones: memory, choices of kernels, the workers' first batches
NUM_SAMPLES = 32  # training images loaded one by one
WAITING, REST = "waiting for data", "the rest"
Places = Mapping[str, Sequence[tuple[Any, str]]]  # of each part: owners and names of its functions
Row = dict[str, float]  # seconds of each part


class Stopwatch:
    """Seconds of each part, less those of the parts inside it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: Row = {}
        self._inside: list[float] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose time counts for `part`."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            started = now(self.device)
            self._inside.append(0.0)
            try:
                with record_function(part):
                    return function(*args, **kwargs)
            finally:
                elapsed = now(self.device) - started
                self.seconds[part] = self.seconds.get(part, 0.0) + elapsed - self._inside.pop()
                if self._inside:
                    self._inside[-1] += elapsed

        return call

    @contextmanager
    def watching(self, places: Places) -> Iterator[None]:
        """While it lasts, the functions of `places` are timed."""
        with ExitStack() as stack:
            for part, functions in places.items():
                for owner, name in functions:
                    stack.enter_context(patch.object(owner, name, self.timed(part, getattr(owner, name))))
            yield

    def row(self, total: float) -> Row:
        """What was measured since the last call, and what is left of `total`."""
        row, self.seconds = self.seconds, {}
        return {**row, REST: total - sum(row.values())}


def now(device: torch.device) -> float:
    """Seconds, once all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: %(prog)s --annotations a.json --images dir")
    add = parser.add_argument
    add("--annotations", required=True, help="COCO JSON")
    add("--images", required=True, help="folder of its images")
    add("--config", type=Path, help="YAML file as for train, or a run's config.yaml (default: the default settings)")
    add("--steps", type=int, default=10, help="timed steps (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: %(default)s)")
    add("--trace", type=Path, metavar="FILE", help="also write a trace of one step, for Perfetto or chrome://tracing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)  # as in the workers
    config, device = load_config(args.config) if args.config else Config(), choose_device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, load_annotations(args.annotations, args.images), None, folder, device)
        loaded = time_loading(trainer)
        plain = time_steps(trainer, args.steps, None) if device.type == "cuda" else []
        rows = time_steps(trainer, args.steps, Stopwatch(device))
        print(report(trainer, rows, loaded, plain or rows))
        if args.trace:
            activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * (device.type == "cuda")]
            with profile(activities=activities) as done:
                time_steps(trainer, 1, Stopwatch(device), warm_up=0)
            done.export_chrome_trace(str(args.trace))
            print(f"\nwritten: {args.trace}")
    return 0


def time_loading(trainer: Trainer) -> list[Row]:
    """Seconds that each of `NUM_SAMPLES` samples takes in a worker, which has one thread."""
    settings = trainer.config.train
    transforms = build_transforms(settings.augment, trainer.model.resize)
    places: dict[str, list[tuple[Any, str]]] = {
        "read the image": [(annotations, "read_by")],
        "read the masks": [(Annotations, "targets")],
        **{type(transform).__name__: [(type(transform), "__call__")] for transform in transforms},
        "paste objects": [(loading, "paste_objects")],
    }
    paste = CopyPaste(settings.augment.copy_paste, settings.augment.min_visible_px)
    batches = training_batches(
        trainer.task.train_data, transforms, 1, settings.seed, 0, WARM_UP + NUM_SAMPLES, 0, copy_paste=paste
    )
    watch, rows, threads = Stopwatch(torch.device("cpu")), [], torch.get_num_threads()
    torch.set_num_threads(1)
    with watch.watching(places):
        for _ in range(WARM_UP + NUM_SAMPLES):
            started = now(watch.device)
            next(batches)
            rows.append(watch.row(now(watch.device) - started))
    torch.set_num_threads(threads)
    return rows[WARM_UP:]


def time_steps(trainer: Trainer, num: int, watch: Stopwatch | None, warm_up: int = WARM_UP) -> list[Row]:
    """Seconds of each part in each of `num` steps of the trainer's own loop; only the total without a watch."""
    rows: list[Row] = []

    def some_batches(*args: Any) -> Iterator[Batch]:
        batches = islice(training_batches(*args), warm_up + num)
        next_batch = watch.timed(WAITING, next) if watch else next
        started = now(trainer.device)
        while (batch := next_batch(batches, None)) is not None:
            yield batch  # the loop does the step before it asks for the next
            ended = now(trainer.device)
            rows.append(watch.row(ended - started) if watch else {REST: ended - started})
            started = ended

    with ExitStack() as stack:
        stack.enter_context(patch.object(trainer_module, "training_batches", some_batches))
        if watch:
            stack.enter_context(watch.watching(places_of_step(trainer)))
        trainer.run()
    return rows[warm_up:]


def places_of_step(trainer: Trainer) -> Places:
    """The parts of a step, in the order of the table."""
    matching = ("box_iou", "match", "ignore_crowds", "sample_balanced", "encode_deltas")
    return {
        "to the device, normalise, pad": [(Normalise, "__call__"), (Targets, "to")],
        "backbone": [(ResNet, "forward")],
        "pyramid": [(FPN, "forward")],
        "RPN head": [(RPN, "forward")],
        "anchors, matched and sampled": [(Anchors, "__call__"), *((rpn, name) for name in matching)],
        "proposals: top k, NMS": [(RPN, "propose")],
        "regions, matched and sampled": [(BoxHead, "sample")],
        "pooling": [(RoIPooler, "__call__")],
        "box head": [(BoxHead, "forward")],
        "mask head": [(MaskHead, "forward")],
        "mask targets": [(MaskCrops, "sample")],
        "losses": [(RPN, "losses"), (BoxHead, "losses"), (MaskHead, "losses")],
        "backward": [(Tensor, "backward")],
        "gradient clipping": [(trainer.step.scaler, "unscale_"), (nn.utils, "clip_grad_norm_")],
        "optimizer": [(trainer.optimizer, "zero_grad"), (trainer.step.scaler, "step")],
        "average of the weights": [(WeightAverage, "update")],
        "records": [(RunRecords, "add")],
    }


def report(trainer: Trainer, rows: list[Row], loaded: list[Row], plain: list[Row]) -> str:
    """The tables; `plain` are the steps whose total counts."""
    settings, device = trainer.config.train, trainer.device
    seconds = [sum(row.values()) for row in plain]
    step = statistics.median(seconds)
    if device.type == "cuda":
        machine, peak = torch.cuda.get_device_name(device), torch.cuda.max_memory_allocated(device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        machine, peak = platform.processor() or platform.machine(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= unit
    lines = [
        f"{machine}, {torch.get_num_threads()} threads of {os.cpu_count()}, torch {torch.__version__}; {device}, "
        f"{settings.precision}, {settings.batch_size} images a step, {settings.workers} workers; median of {len(rows)}",
        f"{step:.3f} s a step ({min(seconds):.3f}..{max(seconds):.3f}), {settings.batch_size / step:.2f} images/s, "
        f"peak memory {peak / 1e9:.2f} GB",
        "",
        *table("a step", rows, [WAITING, *places_of_step(trainer), REST]),
    ]
    if device.type == "cuda":
        total = statistics.median(sum(row.values()) for row in rows)
        lines.append(f"(these steps, slowed by waiting for the device around every part, took {total:.3f} s)")
    sample = statistics.median(sum(row.values()) for row in loaded)
    worker = f"{settings.workers} workers make at most" if settings.workers else "one process makes"
    lines += [
        "",
        *table("loading an image", loaded, list(dict.fromkeys(part for row in loaded for part in row))),
        f"{worker} {max(settings.workers, 1) / sample:.1f} images/s; a step takes {settings.batch_size / step:.1f}",
    ]
    return "\n".join(lines)


def table(title: str, rows: list[Row], parts: Sequence[str]) -> list[str]:
    """Median, least and most of each of `parts`; its share of all time."""
    total = sum(sum(row.values()) for row in rows)
    lines = [f"{title:30}        ms  (min..max)             share"]
    for part in parts:
        values = [1e3 * row.get(part, 0.0) for row in rows]
        spread = f"({min(values):.1f}..{max(values):.1f})"
        lines.append(f"{part:30}  {statistics.median(values):8.1f}  {spread:20}  {sum(values) / 1e3 / total:6.1%}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
