"""What the machine would need for the network's multiplications alone, at the speed of its fastest matrix product.

Letters: R regions, D detections, C channels.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from maskrcnn.config import ModelSettings
from maskrcnn.model.build import build_model
from maskrcnn.prediction.execution import DTYPES

SIDES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}  # of the matrices: the best counts
CONV_MAPS = (1, 256, 100, 168)  # of the convolution: P3 of a picture of 800 x 1333
LEAST_S = 0.1  # of measuring each


def count_flops(settings: ModelSettings, height: int, width: int, regions: int, masks: int) -> dict[str, int]:
    """Floating-point operations of the convolutions and products of each part, for one picture.

    A multiplication and its addition are two. Batch norms, which can be folded away, are not counted, nor are RoIAlign,
    activations and sums.

    Args:
        height, width: of the padded input.
        regions, masks: how many go through the box head and through the mask head.
    """
    with torch.device("meta"):  # shapes alone, without arithmetic
        model = build_model(settings).eval()
        pixels = torch.empty(1, 3, height, width)
        channels = settings.fpn.channels
        boxes = torch.empty(regions, channels, model.box_head.resolution, model.box_head.resolution)
        rois = torch.empty(masks, channels, settings.roi.mask_resolution, settings.roi.mask_resolution)
    features, body = _count(model.backbone, pixels)
    levels, fpn = _count(model.fpn, features)
    counts = {"body": body, "FPN": fpn, "RPN head": _count(model.rpn, levels)[1]}
    return {
        **counts,
        "box head": _count(model.box_head, boxes)[1],
        "mask head": _count(model.get_submodule("mask_head"), rois)[1],
    }


def _count(part: nn.Module, inputs: Tensor | list[Tensor]) -> tuple[list[Tensor], int]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = part(inputs)
    return outputs, counter.get_total_flops()


def measure_throughput(device: str, precision: str) -> Callable[[], dict[str, float]]:
    """A function that gives the FLOP/s of `torch.mm`, the best of `SIDES`, and of a 3x3 convolution.

    Both are matrix products, with this process's threads. On a CPU another library makes each, and the one that makes
    `torch.mm` can be far from what the processor does.
    """
    where, dtype = torch.device(device), DTYPES[precision]
    pairs = [torch.randn(2, side, side, device=where).to(dtype).unbind() for side in SIDES[where.type]]
    maps = torch.randn(CONV_MAPS, device=where).to(dtype, memory_format=torch.channels_last)
    conv = nn.Conv2d(CONV_MAPS[1], CONV_MAPS[1], 3, padding=1, bias=False, device=where, dtype=dtype)
    conv = conv.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    conv_flops = 2 * maps.numel() * 9 * CONV_MAPS[1]

    @torch.inference_mode()
    def measure() -> dict[str, float]:
        products = [2 * len(a) ** 3 / _seconds(lambda a=a, b=b: torch.mm(a, b), where) for a, b in pairs]
        return {"torch.mm": max(products), "a 3x3 convolution": conv_flops / _seconds(lambda: conv(maps), where)}

    return measure


def _seconds(product: Callable[[], Tensor], device: torch.device) -> float:
    product()
    seconds: list[float] = []
    repeats = 1 if device.type == "cpu" else 20  # a GPU is fed ahead
    while sum(seconds) * repeats < LEAST_S or len(seconds) < 3:
        _wait(device)
        started = time.perf_counter()
        for _ in range(repeats):
            product()
        _wait(device)
        seconds.append((time.perf_counter() - started) / repeats)
    return statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
