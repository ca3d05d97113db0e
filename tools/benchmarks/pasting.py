"""From 28 x 28 masks to compressed RLE in a large picture, and drawing them: ours against pasting whole images.

N instances, M mask cells on a side, H W the picture.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import paste_masks_in_image

from benchmarks.processes import Worker, apart, forget_peak, peak_bytes
from benchmarks.table import markdown, spread
from benchmarks.theirs import encode
from maskrcnn.report.draw import draw
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.masks import masks_to_rles

SIZE, NUM = (3000, 4000), 300
LARGE_SIZE, LARGE_NUM = (10_000, 10_000), 2000
SMALL_SIZE, SMALL_NUM = (300, 400), 20  # for a look at whether it works
SIDE = 28
CHUNK = 10  # whole images that torchvision pastes at a time here; all at once 300 would take 29 GB
SECONDS, PEAK, DIGEST = "seconds", "peak", "digest"


def make_instances(size: tuple[int, int], num: int) -> Instances:
    """Objects of all sizes, to a fifth of the picture's shorter side, with lobed outlines and soft edges."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    sides = min(size) / 5 * torch.rand(num, 2, generator=generator).clamp(min=0.1)
    low = torch.rand(num, 2, generator=generator) * (torch.tensor([width, height]) - sides)
    cells = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = torch.meshgrid(cells, cells, indexing="ij")
    angle, radius = torch.atan2(y, x), torch.hypot(x, y)
    lobes, turn = torch.randint(2, 6, (num, 1, 1), generator=generator), torch.rand(num, 1, 1, generator=generator) * 6
    return Instances(
        image_size=size,
        boxes=torch.cat([low, low + sides], dim=1),
        labels=torch.zeros(num, dtype=torch.int64),
        scores=torch.linspace(1, 0.5, num),
        mask_probs=torch.sigmoid(12 * (0.75 + 0.2 * torch.sin(lobes * angle + turn) - radius)),
        class_names=("object",),
    )


def ours_exact(instances: Instances) -> list[dict[str, Any]]:
    return masks_to_rles(instances.mask_probs, instances.boxes, instances.image_size, "exact")


def ours_torchvision(instances: Instances) -> list[dict[str, Any]]:
    return masks_to_rles(instances.mask_probs, instances.boxes, instances.image_size, "expand_to_integer")


def dense_torchvision(instances: Instances) -> list[dict[str, Any]]:
    """torchvision's pasting, in chunks, then pycocotools."""
    rles: list[dict[str, Any]] = []
    for part in torch.arange(len(instances)).split(CHUNK):
        masks = paste_masks_in_image(instances.mask_probs[part, None], instances.boxes[part], instances.image_size)
        rles += [encode(mask) for mask in (masks[:, 0] > 0.5).numpy()]
    return rles


def dense_exact(instances: Instances) -> list[dict[str, Any]]:
    """Every mask sampled at the pixel centres within its box, as detectron2 does on a CPU, then pycocotools."""
    images = torch.zeros(len(instances), *instances.image_size, dtype=torch.bool)
    for image, probs, box in zip(images, instances.mask_probs, instances.boxes, strict=True):
        paste_window(image, probs, box)
    return [encode(image) for image in images.numpy()]


def paste_window(image: Tensor, probs: Tensor, box: Tensor) -> None:
    """Set the pixels of `image` (H, W) where `probs` (M, M), stretched over `box`, are at least a half."""
    x0, y0, x1, y1 = box.tolist()
    # The mask fades within half a cell beyond the box.
    reach_x, reach_y = (x1 - x0) / SIDE, (y1 - y0) / SIDE
    left, top = max(0, int(x0 - reach_x) - 1), max(0, int(y0 - reach_y) - 1)
    right, bottom = min(image.shape[1], int(x1 + reach_x) + 2), min(image.shape[0], int(y1 + reach_y) + 2)
    x = (torch.arange(left, right) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (torch.arange(top, bottom) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    grid = torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))), dim=-1)
    values = F.grid_sample(probs[None, None], grid[None], align_corners=False)[0, 0]
    image[top:bottom, left:right] = values >= 0.5


WAYS: dict[str, Callable[[Instances], list[dict[str, Any]]]] = {
    "ours, exact": ours_exact,
    "dense as detectron2, pycocotools": dense_exact,
    "ours, as torchvision": ours_torchvision,
    "dense as torchvision, pycocotools": dense_torchvision,
}
"""Pairs of ours and the dense way at the same convention."""


def measure_way(way: str, size: tuple[int, int], num: int) -> Callable[[], dict[str, Any]]:
    """What a process of its own does: one way, with its seconds, the memory it took and a digest of its result."""
    instances = make_instances(size, num)
    WAYS[way](make_instances((64, 64), 4))  # libraries are loaded

    def once() -> dict[str, Any]:
        before = forget_peak()
        started = time.perf_counter()
        rles = WAYS[way](instances)
        seconds = time.perf_counter() - started
        counts = [rle["counts"] for rle in rles]
        texts = [text.decode() if isinstance(text, bytes) else text for text in counts]
        digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        return {SECONDS: seconds, PEAK: peak_bytes() - before, DIGEST: digests}

    return once


def masks(rounds: int, threads: int, is_small: bool = False) -> tuple[list[str], list[str]]:
    """The table of the ways, in turn; and problems."""
    size, num = (SMALL_SIZE, SMALL_NUM) if is_small else (SIZE, NUM)
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        workers = {way: stack.enter_context(Worker(threads, measure_way, way, size, num)) for way in WAYS}
        # The memory is that of the first pass, before a process keeps any; the time that of the others.
        peaks = {way: worker()[PEAK] for way, worker in workers.items()}
        for _ in range(rounds):
            for way, worker in workers.items():
                runs[way].append(worker())
    rows, problems = [], []
    names = list(WAYS)
    for ours, dense in zip(names[::2], names[1::2], strict=True):
        ratio = _median(runs[dense]) / _median(runs[ours])
        pairs = zip(runs[ours][0][DIGEST], runs[dense][0][DIGEST], strict=True)
        differing = sum(a != b for a, b in pairs)
        if differing:
            problems.append(f"{ours}: {differing} of {num} masks DIFFER from {dense}")
        for way, faster in ((ours, f"{ratio:.1f}x"), (dense, "1x")):
            equal = "" if way == dense else "no" if differing else "yes"
            rows.append([way, spread([one[SECONDS] for one in runs[way]]), faster, f"{peaks[way] / 1e6:.0f} MB", equal])
    title = f"## masks: {num} instances of {SIDE} x {SIDE} to compressed RLE in {_megapixels(size)} megapixels"
    at_once = 8 * num * size[0] * size[1] / 1e9  # a float32 each, and again while they are put together
    note = f"(torchvision's pasting {CHUNK} instances at a time; all at once it takes {at_once:.1f} GB)"
    head = ["", "ms (least..most)", "faster", "memory taken", "bit-identical"]
    return [title, "", *markdown(head, rows), "", note, ""], problems


def large_masks(threads: int) -> list[str]:
    """The memory of a process that lays many masks into a huge picture and draws them."""
    seconds, peaks = apart(threads, _measure_large)
    steps = ", ".join(
        f"{name} {s:.2f} s (peak {peak / 1e9:.2f} GB)" for (name, s), peak in zip(seconds.items(), peaks, strict=True)
    )
    title = f"## masks-large: {LARGE_NUM} instances in {_megapixels(LARGE_SIZE)} megapixels"
    return [title, "", f"{steps}; peak memory of the process in all {max(peaks) / 1e9:.2f} GB", ""]


def drawing(rounds: int, threads: int) -> list[str]:
    """Seconds to draw the instances, with and without what `rles` leaves behind."""
    with Worker(threads, _measure_drawing) as worker:
        runs = [worker() for _ in range(rounds + 1)][1:]
    rows = [[name, spread([run[name] for run in runs])] for name in runs[0]]
    title = f"## drawing: {NUM} instances in {_megapixels(SIZE)} megapixels"
    return [title, "", *markdown(["", "ms (least..most)"], rows), ""]


def _measure_large() -> tuple[dict[str, float], list[int]]:
    instances, peaks, seconds = make_instances(LARGE_SIZE, LARGE_NUM), [], {}
    started = time.perf_counter()
    instances.rles()
    seconds["to RLE"] = time.perf_counter() - started
    peaks.append(peak_bytes())
    picture = np.full((*LARGE_SIZE, 3), 128, np.uint8)
    started = time.perf_counter()
    draw(picture, instances)
    seconds["drawing"] = time.perf_counter() - started
    return seconds, [*peaks, peak_bytes()]


def _measure_drawing() -> Callable[[], dict[str, float]]:
    ground = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    picture = cv2.resize(ground, SIZE[::-1], interpolation=cv2.INTER_CUBIC)

    def once() -> dict[str, float]:
        instances = make_instances(SIZE, NUM)
        times = []
        for _ in range(2):
            started = time.perf_counter()
            draw(picture, instances)
            times.append(time.perf_counter() - started)
        return {"from mask probabilities": times[0], "from masks that were pasted before": times[1]}

    return once


def _median(runs: Sequence[dict[str, Any]]) -> float:
    return statistics.median(run[SECONDS] for run in runs)


def _megapixels(size: tuple[int, int]) -> str:
    return f"{size[0] * size[1] / 1e6:g}"
