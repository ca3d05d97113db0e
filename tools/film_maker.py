"""Films with a known truth: cut-outs of real objects that move over a real picture, behind one another and bars.

Without a data set the objects are ellipses and the ground is noise. Used by benchmark_tracking.py and the tests.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask

from maskrcnn.data.images import read_image
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs

MIN_VISIBLE = 0.25
"""Of an object, for it to be in the truth of a frame."""
MAX_CUTOUTS = 60


@dataclass(frozen=True, eq=False)
class Cutout:
    """One object: RGBA uint8 (h, w, 4), as large as it."""

    pixels: np.ndarray
    label: int


@dataclass(frozen=True)
class Scene:
    """What happens in a film. Lengths are in px, speeds in sizes of an object for each frame."""

    name: str
    num_objects: int
    size: tuple[int, int] = (480, 640)
    """(height, width)."""
    num_frames: int = 120
    sides: tuple[float, float] = (24.0, 48.0)
    """Shortest and longest side of an object."""
    speeds: tuple[float, float] = (0.03, 0.2)
    leaves: bool = False
    """Objects leave the picture and others come, instead of turning back at its border."""
    stops: bool = False
    """They stand still for a while now and then."""
    bars: int = 0
    """Upright bars in front of everything."""
    shake_px: float = 0.0
    """By which the camera jumps from frame to frame (standard deviation)."""


@dataclass(frozen=True, eq=False)
class MadeFrame:
    """A frame and what is in it; O objects that can be seen."""

    image: np.ndarray
    ids: np.ndarray
    """(O,) from 1."""
    labels: np.ndarray
    boxes: np.ndarray
    """(O, 4) around what can be seen of each."""
    visible: np.ndarray
    """(O,) the part of each that can be seen."""
    crops: list[tuple[int, int, np.ndarray]]
    """What can be seen of each: x0, y0, bool bitmap."""


def read_cutouts(annotations: Path, images: Path, seed: int = 0) -> tuple[list[Cutout], list[str]]:
    """Objects of a COCO data set, and the names of its classes; at most `MAX_CUTOUTS`."""
    content = json.loads(annotations.read_text(encoding="utf-8"))
    label_of = {category["id"]: label for label, category in enumerate(content["categories"])}
    files = {image["id"]: image for image in content["images"]}
    annotated = list(content["annotations"])
    np.random.default_rng(seed).shuffle(annotated)
    found: list[Cutout] = []
    for annotation in annotated:
        image = files[annotation["image_id"]]
        outline = annotation["segmentation"]
        if isinstance(outline, list):
            outline = coco_mask.merge(coco_mask.frPyObjects(outline, image["height"], image["width"]))
        bitmap = coco_mask.decode(outline)
        x, y, w, h = cv2.boundingRect(bitmap)
        if min(w, h) < 12 or annotation.get("iscrowd"):
            continue
        pixels = read_image(images / image["file_name"])[y : y + h, x : x + w]
        alpha = bitmap[y : y + h, x : x + w, None] * np.uint8(255)
        found.append(Cutout(np.concatenate([pixels, alpha], axis=2), label_of[annotation["category_id"]]))
        if len(found) == MAX_CUTOUTS:
            break
    return found, [category["name"] for category in content["categories"]]


def made_cutouts(seed: int = 0, num: int = 20) -> list[Cutout]:
    """Ellipses of one colour each."""
    rng = np.random.default_rng(seed)
    cutouts = []
    for _ in range(num):
        h, w = rng.integers(40, 80, 2).tolist()
        alpha = cv2.ellipse(np.zeros((h, w), np.uint8), ((w / 2, h / 2), (w - 1, h - 1), 0), (255,), -1)
        color = np.broadcast_to(rng.integers(80, 255, 3).astype(np.uint8), (h, w, 3))
        cutouts.append(Cutout(np.concatenate([color, alpha[..., None]], axis=2), 0))
    return cutouts


def make_film(
    scene: Scene, cutouts: Sequence[Cutout], seed: int, ground: np.ndarray | None = None
) -> Iterator[MadeFrame]:
    """The frames of a scene, one after the other; the same `seed` gives the same film."""
    rng = np.random.default_rng(seed)
    height, width = scene.size
    margin = int(4 * scene.shake_px) + 1
    big = (height + 2 * margin, width + 2 * margin)
    if ground is None:
        noise = rng.integers(20, 60, (*big, 3)).astype(np.uint8)
        ground = cv2.GaussianBlur(noise, (0, 0), 3)
    ground = cv2.resize(ground, big[::-1], interpolation=cv2.INTER_AREA)
    objects = [_Moving(scene, cutouts, rng, number, is_inside=True) for number in range(1, scene.num_objects + 1)]
    num_ever = scene.num_objects
    bars = [(int((k + 1) * width / (scene.bars + 1) - width / 28), width // 14) for k in range(scene.bars)]
    for _ in range(scene.num_frames):
        shake = np.clip(rng.normal(0, scene.shake_px, 2), -margin + 1, margin - 1) if scene.shake_px else np.zeros(2)
        x0, y0 = margin + np.rint(shake).astype(int)
        image = ground[y0 : y0 + height, x0 : x0 + width].copy()
        owner = np.zeros((height, width), np.int32)
        whole: dict[int, int] = {}
        for one in objects:
            whole[one.number] = one.paint(image, owner, -np.rint(shake))
        for left, thick in bars:
            image[:, left : left + thick] = (96, 84, 70)
            owner[:, left : left + thick] = 0
        yield _seen(image, owner, objects, whole)
        for i, one in enumerate(objects):
            one.move()
            if one.is_gone():
                num_ever += 1
                objects[i] = _Moving(scene, cutouts, rng, num_ever, is_inside=False)


class _Moving:
    def __init__(
        self, scene: Scene, cutouts: Sequence[Cutout], rng: np.random.Generator, number: int, *, is_inside: bool
    ) -> None:
        self.number, self._scene, self._rng = number, scene, rng
        cutout = cutouts[int(rng.integers(len(cutouts)))]
        self.label = cutout.label
        side = rng.uniform(*scene.sides)
        factor = side / np.sqrt(cutout.pixels.shape[0] * cutout.pixels.shape[1])
        h, w = (max(6, round(s * factor)) for s in cutout.pixels.shape[:2])
        self._pixels = cv2.resize(cutout.pixels, (w, h), interpolation=cv2.INTER_AREA)
        self._extent = np.array([w, h], float)
        self._limits = np.array(scene.size[::-1], float)
        angle, speed = rng.uniform(0, 2 * np.pi), side * rng.uniform(*scene.speeds)
        self._velocity = speed * np.array([np.cos(angle), np.sin(angle)])
        self._at = rng.uniform(0, self._limits)
        if not is_inside:  # comes in from where it is heading away
            axis = int(rng.integers(2))
            sign = 1 if self._velocity[axis] > 0 else -1
            self._at[axis] = -self._extent[axis] / 2 if sign > 0 else self._limits[axis] + self._extent[axis] / 2
        self._rest = 0

    def paint(self, image: np.ndarray, owner: np.ndarray, offset: np.ndarray) -> int:
        """Paint it over what is there, and give its area as if nothing were before it."""
        x, y = np.rint(self._at + offset - self._extent / 2).astype(int).tolist()
        h, w = self._pixels.shape[:2]
        top, left = max(-y, 0), max(-x, 0)
        window = np.s_[y + top : max(y + h, 0), x + left : max(x + w, 0)]
        room = image[window]
        part = self._pixels[top : top + room.shape[0], left : left + room.shape[1]]
        is_solid = part[..., 3] > 127
        room[is_solid] = part[..., :3][is_solid]
        owner[window][is_solid] = self.number
        return int((self._pixels[..., 3] > 127).sum())

    def move(self) -> None:
        if self._scene.stops:
            if self._rest:
                self._rest -= 1
                return
            self._rest = int(self._rng.integers(5, 30)) if self._rng.random() < 0.02 else 0
        self._at += self._velocity + self._rng.normal(0, 0.03 * np.linalg.norm(self._velocity) + 1e-9, 2)
        if not self._scene.leaves:
            for axis in (0, 1):
                if not 0 <= self._at[axis] <= self._limits[axis]:
                    self._velocity[axis] *= -1
                    self._at[axis] = np.clip(self._at[axis], 0, self._limits[axis])

    def is_gone(self) -> bool:
        half = self._extent / 2
        out = (self._at < -half - 1) | (self._at > self._limits + half + 1)
        return bool(self._scene.leaves and out.any())


def _seen(image: np.ndarray, owner: np.ndarray, objects: Sequence[_Moving], whole: dict[int, int]) -> MadeFrame:
    ids, labels, boxes, visible, crops = [], [], [], [], []
    for one in objects:
        rows = np.flatnonzero((owner == one.number).any(axis=1))
        if not len(rows):
            continue
        bitmap = owner[rows[0] : rows[-1] + 1] == one.number
        columns = np.flatnonzero(bitmap.any(axis=0))
        bitmap = np.ascontiguousarray(bitmap[:, columns[0] : columns[-1] + 1])
        part = bitmap.sum() / whole[one.number]
        if part < MIN_VISIBLE:
            continue
        x0, y0 = int(columns[0]), int(rows[0])
        ids.append(one.number)
        labels.append(one.label)
        boxes.append((x0, y0, x0 + bitmap.shape[1], y0 + bitmap.shape[0]))
        visible.append(part)
        crops.append((x0, y0, bitmap))
    return MadeFrame(
        image,
        np.array(ids, np.int64),
        np.array(labels, np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(visible),
        crops,
    )


def detections(frame: MadeFrame, class_names: Sequence[str], rng: np.random.Generator) -> Instances:
    """What a good detector might find in a frame: objects are missed, more so behind others, edges jump, scores fall
    with what can be seen, and a few things are found that are not there."""
    height, width = frame.image.shape[:2]
    labels, scores, boxes, crops = [], [], [], []
    for i, (_, _, bitmap) in enumerate(frame.crops):
        part = float(frame.visible[i])
        if rng.random() > 0.97 * min(1.0, 1.5 * part):
            continue
        h, w = bitmap.shape
        jumps = rng.normal(0, 0.03, 4) * np.array([w, h, w, h])
        box = np.clip(frame.boxes[i] + jumps, 0, [width, height, width, height])
        if min(box[2] - box[0], box[3] - box[1]) < 3:
            continue
        labels.append(int(frame.labels[i]) if rng.random() < 0.98 else int(rng.integers(len(class_names))))
        scores.append(float(np.clip(rng.normal(0.5 + 0.42 * part, 0.1), 0.05, 0.99)))
        boxes.append(box)
        crops.append(_resized(bitmap, box))
    for _ in range(rng.poisson(0.02 * len(frame.ids))):
        side = rng.uniform(16, 40)
        x0, y0 = rng.uniform(0, width - side), rng.uniform(0, height - side)
        labels.append(int(rng.integers(len(class_names))))
        scores.append(float(rng.uniform(0.1, 0.6)))
        boxes.append(np.array([x0, y0, x0 + side, y0 + side]))
        disc = cv2.circle(np.zeros((24, 24), np.uint8), (12, 12), 11, (1,), -1).astype(bool)
        crops.append(_resized(disc, boxes[-1]))
    return Instances(
        image_size=(height, width),
        boxes=torch.tensor(np.array(boxes).reshape(-1, 4), dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        mask_probs=torch.zeros(len(boxes), 1, 1),
        class_names=tuple(class_names),
        pixels=Runs.of_crops(crops, (height, width)),
    )


def _resized(bitmap: np.ndarray, box: np.ndarray) -> tuple[int, int, np.ndarray]:
    """The mask in another box."""
    x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
    size = max(x1 - x0, 1), max(y1 - y0, 1)
    return x0, y0, cv2.resize(bitmap.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
