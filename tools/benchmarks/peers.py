"""Who is measured, what one pass of a peer gives, and the names of the parts of its time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stopwatch import Stopwatch
from benchmarks.workloads import Workload
from maskrcnn.prediction.execution import keep_freed_memory

DECODE, PREPROCESS, POST, MASKS, RLE, DRAWING = "decode", "preprocess", "post-process", "masks", "RLE", "drawing"
DENSE, POOLING, BOX_HEAD, MASK_HEAD, WHOLE = "body, FPN, RPN head", "pooling", "box head", "mask head", "undivided"
NETWORK = (DENSE, POOLING, BOX_HEAD, MASK_HEAD, WHOLE)
"""Parts of what the table calls the network; of an exported one only the whole is known."""
TOTAL = "end to end"
"""From the picture's file to compressed RLE: all but the drawing."""
INSTALLS = {
    "onnxruntime": "pip install onnx onnxruntime",
    "openvino": "pip install onnx openvino",
    "detectron2": "see its INSTALL.md",
}
PEERS = (
    "torchvision-fp32",
    "torchvision-bf16",
    "ours-fp32",
    "ours-bf16",
    "ours-fp16",
    "onnxruntime-fp32",
    "openvino-fp32",
    "openvino-bf16",
    "detectron2-fp32",
)
CPU_ONLY, CUDA_ONLY = ("onnxruntime", "openvino"), ("ours-fp16",)
KEPT = "-kept-"
"""In the name of a peer whose process keeps the memory that it frees, such as ours-kept-fp32."""


def package_of(peer: str) -> str:
    """ "ours" of ours-kept-fp32."""
    return peer.partition("-")[0]


def with_kept(peers: Sequence[str]) -> list[str]:
    """Behind each peer the same one in a process that keeps freed memory."""
    return [name for peer in peers for name in (peer, peer.replace("-", KEPT, 1))]


@dataclass(frozen=True)
class Job:
    """What a peer's process is told."""

    peer: str
    workload: Workload
    folder: Path
    """Holds the files below, as far as the workload has them."""
    threads: int
    device: str
    batch: int

    @property
    def precision(self) -> str:
        return self.peer.rpartition("-")[2]

    @property
    def keeps_memory(self) -> bool:
        return KEPT in self.peer

    @property
    def picture(self) -> Path:
        return self.folder / "picture.jpg"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.pth"

    @property
    def network(self) -> Path:
        return self.folder / "network.onnx"


@dataclass(frozen=True)
class Found:
    """Detections of one picture."""

    boxes: np.ndarray
    """(N, 4) px of the picture."""
    labels: np.ndarray
    """(N,) counted from 0, without a background."""
    rles: list[dict[str, Any]]


@dataclass(frozen=True)
class Pass:
    """What one pass of a batch gave."""

    seconds: dict[str, float]
    """Of one picture, part by part; and `TOTAL`."""
    found: Found
    """Of the first picture."""
    shapes: dict[str, int]
    """What of ours ran: height and width of the network's input, regions and masks of a picture. Else empty."""


Run = Callable[[Stopwatch], tuple[list[Found], dict[str, int]]]
"""One pass of the batch, its parts timed: the detections of each picture; and see `Pass.shapes`."""


def time_passes(build: Callable[[Job], Run], job: Job) -> Callable[[], Pass]:
    """What a peer's process does: builds its network, then times a pass whenever it is asked."""
    if job.keeps_memory and not keep_freed_memory():
        raise RuntimeError("this system's C library cannot be told to keep freed memory")
    run, device = build(job), torch.device(job.device)

    def one_pass() -> Pass:
        total = None
        if device.type == "cuda":  # waiting for the device around every part slows the whole
            free = Stopwatch(device, is_waiting=False)
            run(free)
            total = sum(free.seconds.values()) - free.seconds.get(DRAWING, 0.0)
        watch = Stopwatch(device)
        found, shapes = run(watch)
        if total is None:
            total = sum(watch.seconds.values()) - watch.seconds.get(DRAWING, 0.0)
        seconds = {part: s / job.batch for part, s in {**watch.seconds, TOTAL: total}.items()}
        return Pass(seconds, found[0], shapes)

    return one_pass


def reason_to_skip(peer: str, workload: Workload, device: str, batch: int) -> str:
    """Why a peer cannot take part; "" when it can."""
    package = package_of(peer)
    if not workload.body and package != "ours":
        return "cannot run the conventions of the shipped weights"
    if device.startswith("cuda") and package in CPU_ONLY:
        return "is measured on the CPU only"
    if device == "cpu" and peer in CUDA_ONLY:
        return "is measured on CUDA only"
    if batch > 1 and package in CPU_ONLY:
        return "is exported for one image at a time"
    lacking = [
        name for name in (package, *(["onnx"] * (package in CPU_ONLY))) if name != "ours" and not find_spec(name)
    ]
    return f"not installed ({INSTALLS[package]})" if lacking else ""
