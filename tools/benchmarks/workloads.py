"""What is measured: a network, a picture, and how many things are found in it."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskrcnn.data.images import read_image

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Workload:
    """One picture through one network."""

    name: str
    body: str
    """torchvision's name of the ResNet; "" for the nuclei weights of the package, which are not random."""
    size: tuple[int, int]
    """(height, width) of the picture, and of the network's input but for its padding."""
    detections: int
    num_classes: int = 90
    """Without the background."""
    channels: int = 256
    """Of the pyramid and the RPN head."""
    fc_channels: int = 1024
    """Of the box head."""

    @property
    def title(self) -> str:
        """In words."""
        network = self.body.replace("resnet", "R") + "-FPN" if self.body else "the shipped nuclei weights"
        slim = f", {self.channels} channels" if self.channels != 256 else ""
        classes = f"{self.num_classes} class{'es' * (self.num_classes != 1)}"
        return f"{network}{slim}, {classes}, {self.size[0]} x {self.size[1]}, {self.detections} detections"


WORKLOADS = {
    one.name: one
    for one in (
        Workload("r101", "resnet101", (800, 1333), 100),
        Workload("r50", "resnet50", (800, 1333), 100),
        Workload("small", "resnet50", (640, 640), 20),
        # The shipped weights have conventions that torchvision has not (where RoIAlign reads), so a network of the same
        # layers with torchvision's conventions is what the peers can run too.
        Workload("nuclei", "", (1024, 1024), 300, num_classes=1),
        Workload("nuclei-like", "resnet18", (1024, 1024), 300, num_classes=1, channels=128, fc_channels=512),
        Workload("tiny", "resnet18", (96, 128), 10, num_classes=2, channels=32, fc_channels=64),
    )
}


def save_picture(path: Path, workload: Workload, source: Path | None) -> None:
    """Write the picture of `workload` to `path`: that of `source` at its size, or else a made-up one."""
    height, width = workload.size
    if source is not None:
        pixels = cv2.resize(read_image(source), (width, height), interpolation=cv2.INTER_AREA)
    elif workload.num_classes == 1:
        pixels = micrograph(workload.size, workload.detections)
    else:
        pixels = scene(workload.size, workload.detections)
    cv2.imwrite(str(path), pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def scene(size: tuple[int, int], num: int) -> np.ndarray:
    """RGB picture (H, W, 3) of `num` coloured ellipses of all sizes on a soft, grainy ground."""
    rng = np.random.default_rng(0)
    height, width = size
    ground = rng.integers(60, 190, (4, 6, 3)).astype(np.float32)
    canvas = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    longest = max(size) / 6
    for _ in range(num):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = [max(2, round(float(a))) for a in longest * rng.uniform(0.05, 1, 2) ** 2]
        color = [float(c) for c in rng.integers(0, 256, 3)]
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
    return np.clip(canvas + rng.normal(0, 6, canvas.shape), 0, 255).astype(np.uint8)


def micrograph(size: tuple[int, int], num: int) -> np.ndarray:
    """RGB picture (H, W, 3) of `num` bright round nuclei on a dark ground, which fill about a quarter of it."""
    rng = np.random.default_rng(0)
    height, width = size
    across = int(np.ceil(np.sqrt(num * width / height)))
    cell_w, cell_h = width / across, height / np.ceil(num / across)
    canvas = np.full((height, width), 12, np.float32)
    for i in range(num):
        y, x = divmod(i, across)
        centre = (round((x + rng.uniform(0.4, 0.6)) * cell_w), round((y + rng.uniform(0.4, 0.6)) * cell_h))
        axes = [round(float(a)) for a in min(cell_w, cell_h) * rng.uniform(0.22, 0.34, 2)]
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(70, 160)), -1)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 1.5) + rng.normal(0, 3, canvas.shape)
    return np.repeat(np.clip(canvas, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
