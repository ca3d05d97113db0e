"""The augmentations that the settings ask for."""

from dataclasses import replace
from typing import Any

from maskrcnn.config import AugmentSettings
from maskrcnn.data.loading import Transform
from maskrcnn.data.transforms import (
    ColourJitter,
    Grey,
    HorizontalFlip,
    Invert,
    LargeScaleJitter,
    RandomCrop,
    Resize,
    ResizeToOneOf,
    Rotate90,
    Scale,
    VerticalFlip,
)
from maskrcnn.training.task import SeenSize


def build_transforms(augment: AugmentSettings, resize: SeenSize) -> list[Transform]:
    """The augmentations in the order in which `AugmentSettings` lists them; `resize` is the model's own.

    Raises:
        ValueError: several shortest edges for a model that does not resize by the shortest edge.
    """
    transforms: list[Transform] = []
    pixels = resize.pixels
    if augment.jitter and augment.crop:
        transforms.append(LargeScaleJitter(augment.crop, *augment.jitter, pixels))
    elif augment.shortest_edges:
        if resize.mode != "shortest_edge":
            raise ValueError(f"augment.shortest_edges is for resize.mode shortest_edge, the model has {resize.mode}")
        rules: list[Any] = [replace(resize, shortest_edge=edge) for edge in augment.shortest_edges]  # pyright: ignore
        transforms.append(ResizeToOneOf(tuple(rule.output_size for rule in rules), pixels))
    elif augment.resize:
        transforms.append(Resize(resize.output_size, pixels))
    if augment.scale:
        transforms.append(Scale(*augment.scale, pixels))
    if augment.crop:
        transforms.append(RandomCrop(augment.crop, augment.crop, augment.min_visible_px))
    if augment.horizontal_flip:
        transforms.append(HorizontalFlip(augment.horizontal_flip))
    if augment.vertical_flip:
        transforms.append(VerticalFlip(augment.vertical_flip))
    if augment.rotate90:
        transforms.append(Rotate90())
    if any((augment.brightness, augment.contrast, augment.saturation, augment.hue)):
        transforms.append(ColourJitter(augment.brightness, augment.contrast, augment.saturation, augment.hue))
    if augment.grey:
        transforms.append(Grey(augment.grey))
    if augment.invert:
        transforms.append(Invert(augment.invert))
    return transforms
