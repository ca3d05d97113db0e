"""A class for every pixel of a picture: what FCN, DeepLab, U-Net, k-means and several thresholds give.

K classes, among them the background where there is one; H W the picture; h w the frame the network saw.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MAX_CLASSES = 65_535
"""Of 16 bits, one value is for pixels of no class."""
NAMED_IN_REPR = 5
"""Classes, the largest ones."""


@dataclass(frozen=True, eq=False, repr=False)
class SemanticMap:
    """The class of every pixel of one picture. Raises ValueError for what does not fit together."""

    class_idx: np.ndarray
    """(H, W) uint8, or uint16 for more than 255 classes: index into `class_names`; `void` where there is no class."""
    class_names: tuple[str, ...]
    palette: np.ndarray | None = None
    """(K, 3) uint8 RGB; None takes `voc_palette`."""
    probs: np.ndarray | None = None
    """(K, h, w) float, 0..1, at the resolution of what made them; None where there are none."""
    background: int | None = None
    """The class that stands for nothing in particular: overlays leave its pixels as they are."""
    notes: tuple[str, ...] = ()
    """How it came about, where that was not the usual way: a sentence each."""

    def __post_init__(self) -> None:
        num, idx = len(self.class_names), self.class_idx
        expected = index_type(num)
        if idx.ndim != 2 or idx.dtype != expected:
            raise ValueError(f"expected class_idx (H, W) {expected} for {num} classes, got {idx.shape} {idx.dtype}")
        highest = int(idx[idx != self.void].max(initial=0))
        if highest >= num and idx.size:
            raise ValueError(f"expected class_idx below {num}, the number of classes, or {self.void}, got {highest}")
        if self.palette is not None and (self.palette.shape != (num, 3) or self.palette.dtype != np.uint8):
            raise ValueError(f"expected a palette ({num}, 3) uint8, got {self.palette.shape} {self.palette.dtype}")
        if self.probs is not None and (
            self.probs.ndim != 3 or len(self.probs) != num or not np.issubdtype(self.probs.dtype, np.floating)
        ):
            raise ValueError(f"expected probs ({num}, h, w) float, got {self.probs.shape} {self.probs.dtype}")
        if self.background is not None and not 0 <= self.background < num:
            raise ValueError(f"expected a background below {num}, the number of classes, got {self.background}")

    @property
    def void(self) -> int:
        """The value of pixels of no class: 255, or 65535 in 16 bits."""
        return int(np.iinfo(self.class_idx.dtype).max)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.class_idx.shape[0], self.class_idx.shape[1]

    @cached_property
    def colors(self) -> np.ndarray:
        """(K, 3) uint8 RGB: `palette`, or the one that stands for it."""
        return voc_palette(len(self.class_names)) if self.palette is None else self.palette

    @cached_property
    def pixels(self) -> np.ndarray:
        """(K,) int64: pixels of each class."""
        return np.bincount(self.class_idx.ravel(), minlength=self.void + 1)[: len(self.class_names)]

    @property
    def shares(self) -> np.ndarray:
        """(K,) float64, 0..1: of all pixels of the picture, those of each class. Pixels of no class have no share."""
        return self.pixels / max(self.class_idx.size, 1)

    def mask(self, name: str) -> np.ndarray:
        """(H, W) bool: the pixels of the class of that name.

        Raises:
            ValueError: there is no such class.
        """
        if name not in self.class_names:
            raise ValueError(f"expected a class out of {', '.join(self.class_names)}, got {name!r}")
        return self.class_idx == self.class_names.index(name)

    def __repr__(self) -> str:
        """The largest shares, such as "SemanticMap(background 71.3%, person 28.7%; image 480 x 640)"."""
        shares = sorted(zip(self.shares.tolist(), self.class_names, strict=True), key=lambda pair: -pair[0])
        named = [f"{name} {share:.1%}" for share, name in shares[:NAMED_IN_REPR] if share]
        rest = sum(share > 0 for share, _ in shares) - len(named)
        words = ", ".join(named + [f"{rest} more classes"] * (rest > 0)) or "no class"
        return f"SemanticMap({words}; image {self.image_size[0]} x {self.image_size[1]})"


def index_type(num_classes: int) -> np.dtype:
    """The type of `class_idx` for so many classes: 8 bits up to 255 of them, else 16.

    Raises:
        ValueError: no class, or more than 16 bits can tell apart.
    """
    if not 1 <= num_classes <= MAX_CLASSES:
        raise ValueError(f"expected 1 to {MAX_CLASSES} classes, got {num_classes}")
    return np.dtype(np.uint8 if num_classes <= 255 else np.uint16)


def voc_palette(num_classes: int) -> np.ndarray:
    """Colours (K, 3) uint8 RGB as the PASCAL VOC devkit gives them to label values: 0 black, 1 dark red, 2 green, ...

    Red, green and blue take the value's bits in turn, the lowest three as their highest bits. Values from 256 on repeat
    the colours from 1 on, so that only the first class is black.
    """
    value = np.arange(num_classes)
    value = np.where(value > 255, (value - 1) % 255 + 1, value)
    colors = np.zeros((num_classes, 3), np.uint8)
    for shift in range(8):
        bits = value[:, None] >> (3 * shift + np.arange(3)) & 1
        colors |= (bits << (7 - shift)).astype(np.uint8)
    return colors
