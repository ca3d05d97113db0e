"""The augmentations that the settings ask for."""

from collections.abc import Callable

from maskrcnn.config import AugmentSettings
from maskrcnn.data.loading import Transform
from maskrcnn.data.transforms import (
    ColourJitter,
    Grey,
    HorizontalFlip,
    Invert,
    RandomCrop,
    Resize,
    Rotate90,
    Scale,
    VerticalFlip,
)
from maskrcnn.structures.image_batch import Size


def build_transforms(augment: AugmentSettings, output_size: Callable[[Size], Size]) -> list[Transform]:
    """The augmentations in the order in which `AugmentSettings` lists them."""
    transforms: list[Transform] = []
    if augment.resize:
        transforms.append(Resize(output_size))
    if augment.scale:
        transforms.append(Scale(*augment.scale))
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
