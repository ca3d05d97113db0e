"""Ways of objects over a line at an angle, whose crossings are known by how they were made: slow, trembling, ...

Used by benchmark_crossings.py and the tests.
"""

from collections.abc import Iterator

import numpy as np
import torch

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs
from maskrcnn.tracking.lines import TRACK_IDS, LineCounter

FRAMES = 40
HYSTERESIS_PX = 4.0
SIZE = (400, 400)
"""(height, width); the line has its middle in the middle, and is 160 px long."""
HALF_PX = 80
SIDE_PX = 5
"""Of the square that every object is, unless told otherwise; an odd number."""
KINDS = (
    *("slow", "fast", "oblique", "trembling on it, then over", "trembling on it, then back", "over and back"),
    *("back before it", "starting on it", "beside its end"),
)


def made_ways(kind: str, num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ways (num, FRAMES, 2) as px beside the line and px along it from its middle, and how often each goes over it from
    its negative side (in) and back (out), (num, 2).

    All places differ from the line's hysteresis by a pixel or more wherever that matters, as centroids are to a pixel.
    """
    t = np.linspace(0, 1, FRAMES)
    side = rng.choice([-1.0, 1.0], num)[:, None]
    far = rng.uniform(HYSTERESIS_PX + 2, 90, (num, 1))
    along = rng.uniform(-60, 60, (num, 1)) + np.zeros(FRAMES)
    tremble = rng.uniform(-HYSTERESIS_PX + 1, HYSTERESIS_PX - 1, (num, FRAMES))
    is_in = side[:, 0] < 0
    once = np.stack([is_in, ~is_in], axis=1).astype(int)
    if kind == "slow":
        return np.stack([side * far * (1 - 2 * t), along], axis=2), once
    if kind == "fast":  # from side to side within a frame
        jump = (np.arange(FRAMES) >= rng.integers(1, FRAMES, (num, 1))).astype(float)
        return np.stack([side * far * (1 - 2 * jump), along], axis=2), once
    if kind == "oblique":
        along = rng.uniform(-60, 60, (num, 1)) * (1 - 2 * t) + 0 * along
        return np.stack([side * far * (1 - 2 * t), along], axis=2), once
    if kind == "trembling on it, then over":
        beside = np.where(t < 0.2, side * far, np.where(t < 0.8, tremble, -side * far))
        return np.stack([beside, along], axis=2), once
    if kind == "trembling on it, then back":
        beside = np.where(t < 0.2, side * far, np.where(t < 0.8, tremble, side * far))
        return np.stack([beside, along], axis=2), 0 * once
    if kind == "over and back":
        return np.stack([side * far * np.cos(2 * np.pi * t), along], axis=2), np.ones((num, 2), int)
    if kind == "back before it":
        return np.stack([side * (HYSTERESIS_PX + 2 + far * np.abs(1 - 2 * t)), along], axis=2), 0 * once
    if kind == "starting on it":
        return np.stack([np.where(t < 0.3, tremble, side * far), along], axis=2), 0 * once
    assert kind == "beside its end"
    beyond = np.sign(along) * rng.uniform(HALF_PX + 3, HALF_PX + 15, (num, 1))
    return np.stack([side * far * (1 - 2 * t), beyond], axis=2), 0 * once


def films_of_ways(
    num: int, seed: int, side: int = SIDE_PX
) -> Iterator[tuple[str, np.ndarray, list[Instances], np.ndarray]]:
    """For each kind: the line's ends, the frames with all its objects, each in a track of its own, and the truth."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle)])
    across, middle = np.array([-way[1], way[0]]), np.array(SIZE[::-1]) / 2
    line = np.stack([middle - HALF_PX * way, middle + HALF_PX * way])
    for kind in KINDS:
        ways, truth = made_ways(kind, num // len(KINDS), rng)
        places = middle + ways[..., :1] * across + ways[..., 1:] * way
        yield kind, line, [_squares(places[:, frame], side) for frame in range(FRAMES)], truth


def wrong_counts(num: int, seed: int, side: int = SIDE_PX) -> dict[str, int]:
    """Of each kind the ways that `LineCounter` counts wrongly, of `num` in all."""
    wrong = {}
    for kind, line, frames, truth in films_of_ways(num, seed, side):
        counter, counted = LineCounter(*line.tolist(), hysteresis_px=HYSTERESIS_PX), np.zeros_like(truth)
        for instances in frames:
            for one in counter.update(instances):
                counted[one.track - 1, 0 if one.direction == "in" else 1] += 1
        wrong[kind] = int((counted != truth).any(axis=1).sum())
    return wrong


def _squares(centres: np.ndarray, side: int) -> Instances:
    corners = np.floor(centres - side / 2 + 0.5).astype(int)
    num = len(corners)
    return Instances(
        image_size=SIZE,
        boxes=torch.tensor(np.concatenate([corners, corners + side], axis=1), dtype=torch.float32),
        labels=torch.zeros(num, dtype=torch.int64),
        scores=torch.full((num,), 0.9),
        mask_probs=torch.ones(num, 1, 1),
        class_names=("object",),
        pixels=Runs.of_crops([(x, y, np.ones((side, side), bool)) for x, y in corners.tolist()], SIZE),
        extra={TRACK_IDS: torch.arange(1, num + 1)},
    )
