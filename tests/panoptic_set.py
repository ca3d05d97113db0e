"""A small panoptic data set whose truth is known: squares and discs on grass below a sky, with a strip of nothing."""

from pathlib import Path

import cv2
import numpy as np

from maskrcnn.report.export.coco_panoptic import panoptic_dict, write_panoptic_png
from maskrcnn.report.written import write_json
from maskrcnn.structures.panoptic import Panoptic, Segment

THINGS, STUFF = ("square", "disc"), ("grass", "sky")
THING_IDS, STUFF_IDS = (3, 7), (20, 21)
SIZE = (96, 128)
COLORS = {"square": (60, 200, 230), "disc": (220, 60, 60), "grass": (70, 110, 50), "sky": (150, 180, 230)}
STRIP = 6
"""Columns at the right, of which the annotations say nothing."""


def make_scene(seed: int) -> tuple[np.ndarray, Panoptic]:
    """RGB picture (H, W, 3) and its truth; ids are scattered, as COCO's are."""
    rng = np.random.default_rng(seed)
    horizon = int(rng.integers(30, 60))
    image, ids = np.empty((*SIZE, 3), np.uint8), np.empty(SIZE, np.int32)
    image[:horizon], image[horizon:] = COLORS["sky"], COLORS["grass"]
    ids[:horizon], ids[horizon:] = 70_000, 300
    classes = {70_000: (False, 1), 300: (False, 0)}
    for number in range(int(rng.integers(2, 4))):
        label, side = int(rng.integers(0, 2)), int(rng.integers(20, 36))
        y, x = (int(rng.integers(0, limit - side)) for limit in SIZE)
        offset = np.arange(side) + 0.5 - side / 2
        disc = offset[:, None] ** 2 + offset[None] ** 2 <= (side / 2) ** 2
        bitmap = disc if label else np.ones((side, side), bool)
        image[y : y + side, x : x + side][bitmap] = COLORS[THINGS[label]]
        ids[y : y + side, x : x + side][bitmap] = 1 + 1000 * number
        classes[1 + 1000 * number] = (True, label)
    image[:, -STRIP:], ids[:, -STRIP:] = 0, 0
    noise = rng.integers(-12, 13, image.shape)
    segments = tuple(
        Segment(number, label, is_thing, int((ids == number).sum()))
        for number, (is_thing, label) in classes.items()
        if (ids == number).any()
    )
    return (image + noise).clip(0, 255).astype(np.uint8), Panoptic(ids, segments, THINGS, STUFF)


def write_set(folder: Path, num: int, name: str = "panoptic", first_seed: int = 0) -> tuple[Path, list[Panoptic]]:
    """`num` pictures in folder/images, PNGs in folder/`name`, and folder/`name`.json; the JSON and the scenes."""
    scenes, results = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + num):
        image, scene = make_scene(seed)
        cv2.imwrite(str(folder / "images" / f"{seed}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        write_panoptic_png(folder / name / f"{seed}.png", scene)
        results.append((f"{seed}.png", f"{seed}.png", scene))
        scenes.append(scene)
    write_json(folder / f"{name}.json", panoptic_dict(results, THINGS, STUFF, THING_IDS, STUFF_IDS))
    return folder / f"{name}.json", scenes
