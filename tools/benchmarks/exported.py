"""A pass of torchvision's network in ONNX Runtime or OpenVINO; around it numpy before, torchvision's pasting after.

The exported network holds proposals and selection too, so its time cannot be divided.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from benchmarks.peers import DECODE, MASKS, PREPROCESS, WHOLE, Found, Job, Run
from benchmarks.stopwatch import Stopwatch
from benchmarks.theirs import finish
from benchmarks.weights import INPUT, OUTPUTS_ONNX
from maskrcnn.data.images import read_image

MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
DIVISOR = 32  # sides of the network's input
Session = Callable[[np.ndarray], list[np.ndarray]]
"""Boxes, labels, scores and masks from pixels (1, 3, H, W)."""


def build(job: Job) -> Run:
    """The exported network in the library that the job names, and its pass."""
    session = _onnxruntime(job) if job.peer.startswith("onnxruntime") else _openvino(job)

    def run(watch: Stopwatch) -> tuple[list[Found], dict[str, int]]:
        with watch.part(DECODE):
            picture = read_image(job.picture)
        with watch.part(PREPROCESS):
            pixels = pad((picture - MEAN) / STD)
        with watch.part(WHOLE):
            result = dict(zip(OUTPUTS_ONNX, map(torch.from_numpy, session(pixels)), strict=True))
        with watch.part(MASKS):
            result["masks"] = paste_masks_in_image(result["masks"], result["boxes"], picture.shape[:2])
        return [finish(watch, torch.from_numpy(picture).permute(2, 0, 1), result)], {}

    return run


def pad(pixels: np.ndarray) -> np.ndarray:
    """(1, 3, H, W) float32, its sides multiples of `DIVISOR`, from (h, w, 3)."""
    height, width = (-(-side // DIVISOR) * DIVISOR for side in pixels.shape[:2])
    padded = np.zeros((1, 3, height, width), np.float32)
    padded[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels.transpose(2, 0, 1)
    return padded


def _onnxruntime(job: Job) -> Session:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    session = onnxruntime.InferenceSession(job.network, options, providers=["CPUExecutionProvider"])
    return lambda pixels: [np.asarray(one) for one in session.run(list(OUTPUTS_ONNX), {INPUT: pixels})]


def _openvino(job: Job) -> Session:
    import openvino  # pyright: ignore[reportMissingImports]

    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[job.precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(job.network), "CPU", options)

    def session(pixels: np.ndarray) -> list[np.ndarray]:
        results = compiled([pixels])
        return [np.array(results[name]) for name in OUTPUTS_ONNX]

    return session
