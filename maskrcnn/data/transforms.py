"""Augmentations that move an image, its boxes and its masks together; all of them take images without instances."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from maskrcnn.structures.mask_crops import inverse_affine, map_boxes
from maskrcnn.structures.targets import Targets

ResizePixels = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""RGB uint8 (H, W, 3) to (h, w, 3) of a size (height, width), uint8 or float 0..255: the model's own way."""


@dataclass(frozen=True)
class Sample:
    """One image with what is known about it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    targets: Targets
    """In the frame of `image`."""
    file_name: str
    image_id: int


@dataclass(frozen=True)
class Resize:
    """Brings the image to the size that `output_size` gives for its own (height, width), as the model's resize does."""

    output_size: Callable[[tuple[int, int]], tuple[int, int]]
    pixels: ResizePixels

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        return _resized(sample, self.output_size((height, width)), self.pixels)


@dataclass(frozen=True)
class ResizeToOneOf:
    """As `Resize`, by one of several rules, drawn anew for each image."""

    output_sizes: tuple[Callable[[tuple[int, int]], tuple[int, int]], ...]
    pixels: ResizePixels

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        output_size = self.output_sizes[int(rng.integers(len(self.output_sizes)))]
        return Resize(output_size, self.pixels)(sample, rng)


@dataclass(frozen=True)
class LargeScaleJitter:
    """Brings the image to fit a square of `side` times a factor drawn evenly from `minimum` to `maximum`.

    Paper: arXiv:2012.07177 (from 0.1 to 2), with a crop of `side` to follow.
    """

    side: int
    minimum: float
    maximum: float
    pixels: ResizePixels

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        factor = float(rng.uniform(self.minimum, self.maximum)) * self.side / max(height, width)
        return _resized(sample, (max(1, round(height * factor)), max(1, round(width * factor))), self.pixels)


@dataclass(frozen=True)
class Scale:
    """Scales by a factor from `minimum` to `maximum`, uniform in its logarithm: halving is as likely as doubling."""

    minimum: float
    maximum: float
    pixels: ResizePixels

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor = float(np.exp(rng.uniform(np.log(self.minimum), np.log(self.maximum))))
        height, width = sample.image.shape[:2]
        return _resized(sample, (max(1, round(height * factor)), max(1, round(width * factor))), self.pixels)


@dataclass(frozen=True)
class RandomCrop:
    """Cuts out a random window of at most `height` x `width` px; a smaller side stays as it is.

    The box of an instance that is cut becomes tight around what is left of its mask. Instances with a box side below
    `min_visible_px` are dropped.
    """

    height: int
    width: int
    min_visible_px: float = 1.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image, targets = sample.image, sample.targets
        height, width = min(self.height, image.shape[0]), min(self.width, image.shape[1])
        top = int(rng.integers(image.shape[0] - height + 1))
        left = int(rng.integers(image.shape[1] - width + 1))
        if (height, width) == image.shape[:2]:
            return sample
        region = torch.tensor([left, top, left + width, top + height], dtype=torch.float32)
        clipped = _clip(targets.boxes, region)
        is_cut = (clipped != targets.boxes).any(dim=1)
        is_kept = _min_side(clipped) >= self.min_visible_px
        # Pixels are looked at only for the few instances on the border.
        border = (is_cut & is_kept).nonzero().squeeze(1)
        if len(border):
            clipped[border] = targets.masks[border].visible_boxes(region.tolist())
            is_kept = _min_side(clipped) >= self.min_visible_px
        ignore_boxes = _clip(targets.ignore_boxes, region)
        ignore_boxes = ignore_boxes[_min_side(ignore_boxes) > 0]
        kept = replace(targets[is_kept], boxes=clipped[is_kept], ignore_boxes=ignore_boxes)
        to_current = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
        return _moved(replace(sample, targets=kept), image[top : top + height, left : left + width], to_current)


@dataclass(frozen=True)
class HorizontalFlip:
    """Swaps left and right with probability `p`."""

    p: float = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        return _moved(sample, sample.image[:, ::-1], np.array([[-1.0, 0.0, sample.image.shape[1]], [0.0, 1.0, 0.0]]))


@dataclass(frozen=True)
class VerticalFlip:
    """Swaps top and bottom with probability `p`; for data without an up."""

    p: float = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        return _moved(sample, sample.image[::-1], np.array([[1.0, 0.0, 0.0], [0.0, -1.0, sample.image.shape[0]]]))


@dataclass(frozen=True)
class Rotate90:
    """Turns counter-clockwise by 0, 1, 2 or 3 quarters, each as likely; for data without an up."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for _ in range(int(rng.integers(4))):
            to_current = np.array([[0.0, -1.0, sample.image.shape[1]], [1.0, 0.0, 0.0]])
            sample = _moved(sample, np.rot90(sample.image), to_current)
        return sample


@dataclass(frozen=True)
class ColourJitter:
    """Changes brightness, contrast and saturation by random factors of 1 -+ the value, the hue by -+ `hue` turns."""

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        brightness, contrast, saturation = (
            1 + rng.uniform(-spread, spread) for spread in (self.brightness, self.contrast, self.saturation)
        )
        hue = rng.uniform(-self.hue, self.hue)
        image = np.ascontiguousarray(sample.image)
        mean = image.mean() * brightness  # contrast is stretched about the mean
        image = cv2.LUT(image, _table((np.arange(256) * brightness - mean) * contrast + mean))
        if self.saturation:
            grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            image = cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)
        if self.hue:
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)  # in this form of HSV 256 is a full turn
            hsv[..., 0] += np.uint8(round(hue * 256) % 256)
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
        return replace(sample, image=image)


@dataclass(frozen=True)
class Grey:
    """Takes the colour out with probability `p`."""

    p: float = 0.2

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        grey = cv2.cvtColor(np.ascontiguousarray(sample.image), cv2.COLOR_RGB2GRAY)
        return replace(sample, image=cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


@dataclass(frozen=True)
class Invert:
    """Makes the negative with probability `p`; for microscopy, where objects are dark on light or light on dark."""

    p: float = 0.2

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample if rng.random() >= self.p else replace(sample, image=255 - sample.image)


def _table(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def _resized(sample: Sample, size: tuple[int, int], resize_pixels: ResizePixels) -> Sample:
    """`sample` at `size`, its pixels as prediction would have them, on the whole numbers that batches hold."""
    height, width = sample.image.shape[:2]
    if size == (height, width):
        return sample
    # Both axes have their own factor, because each side was rounded to whole pixels.
    to_current = np.array([[width / size[1], 0.0, 0.0], [0.0, height / size[0], 0.0]])
    image = resize_pixels(np.ascontiguousarray(sample.image), size)
    if image.dtype != np.uint8:
        image = image.round().astype(np.uint8)
    return _moved(sample, image, to_current)


def _moved(sample: Sample, image: np.ndarray, to_current: np.ndarray) -> Sample:
    """`sample` in the frame of `image`, whose points `to_current` (2, 3) maps to the frame of `sample`."""
    targets = sample.targets
    to_new = inverse_affine(torch.from_numpy(to_current))
    moved = replace(
        targets,
        boxes=map_boxes(targets.boxes.double(), to_new).float(),
        masks=targets.masks.moved(to_current),
        ignore_boxes=map_boxes(targets.ignore_boxes.double(), to_new).float(),
        label_map=targets.label_map and targets.label_map.moved(to_current),
    )
    return replace(sample, image=image, targets=moved)


def _clip(boxes: Tensor, region: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(boxes, region[[0, 1, 0, 1]]), region[[2, 3, 2, 3]])


def _min_side(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).amin(dim=1)
