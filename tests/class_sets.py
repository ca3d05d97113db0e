"""A small set with a class for every pixel: grass below a sky with a hut in it, and a column of void at the right."""

from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("sky", "grass", "hut")
VOID = 255
SIZE = (48, 64)
COLORS = np.array([[150, 180, 230], [70, 110, 50], [200, 60, 60]], np.uint8)


def make_scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB picture (H, W, 3) and its class image (H, W), 255 in the column of void."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.uint8)
    labels[int(rng.integers(20, 30)) :] = 1
    x, y = int(rng.integers(4, 36)), int(rng.integers(12, 24))
    labels[y : y + 14, x : x + 16] = 2
    image = COLORS[labels] + rng.integers(-12, 13, (*SIZE, 3))
    labels[:, -3:] = VOID
    return image.clip(0, 255).astype(np.uint8), labels


def write_class_set(root: Path, numbers: dict[str, range]) -> Path:
    """`root`/SPLIT/images/N.png and labels/N.png for the numbers of each split, and `root`/classes.txt."""
    for split, some in numbers.items():
        for number in some:
            image, labels = make_scene(number)
            for folder, pixels in (("images", image), ("labels", labels)):
                path = root / split / folder / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return root
