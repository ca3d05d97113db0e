"""Every setting of a training run."""

from typing import Annotated, Literal

from pydantic import Field

from maskrcnn.config.base import Settings
from maskrcnn.config.model import Fraction, Positive

NonNegative = Annotated[float, Field(ge=0)]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class AugmentSettings(Settings):
    """Random changes of a training image; masks and boxes follow. Sizes are those of the network's input."""

    resize: bool = True
    """First bring the image to the size that the model's own `resize` gives it."""
    scale: Range | None = None
    """Then scale by a factor from this range, drawn evenly in its logarithm."""
    crop: Positive | None = None
    """Then cut a square of this side at a random place, px."""
    min_visible_px: Positive = 1
    """An object cut by the crop is dropped when it keeps fewer pixels than this along a side of its box."""
    horizontal_flip: Fraction = 0.5
    """Probability."""
    vertical_flip: Fraction = 0.0
    """Probability; for data that has no up."""
    rotate90: bool = False
    """Turn by 0, 90, 180 or 270 degrees; for data that has no up."""
    brightness: Fraction = 0.0
    """Largest relative change."""
    contrast: Fraction = 0.0
    """Largest relative change."""
    saturation: Fraction = 0.0
    """Largest relative change."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest shift, in turns of the colour circle."""
    grey: Fraction = 0.0
    """Probability of dropping the colours."""
    invert: Fraction = 0.0
    """Probability of the negative."""


class DataSettings(Settings):
    """Where the data of a run lies. Paths in a YAML file are relative to where the command is run."""

    train: str | None = None
    """COCO JSON to train on."""
    val: str | None = None
    """COCO JSON to evaluate on during training."""
    images: str | None = None
    """Folder of the images that both name."""
    val_images: str | None = None
    """Folder of the val images, where it is another one."""


class TrainSettings(Settings):
    """Optimiser, schedule and bookkeeping."""

    steps: Positive = 90_000
    """Optimiser steps of the whole run."""
    batch_size: Positive = 16
    """Images of a step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """Peak, at `batch_size`."""
    momentum: Fraction = 0.9
    """SGD's; AdamW uses (0.9, 0.999)."""
    weight_decay: NonNegative = 1e-4
    """Not applied to norms and biases."""
    schedule: Literal["step", "cosine"] = "step"
    """`step`: a tenth at each of `milestones`; `cosine`: down to 0."""
    milestones: tuple[Fraction, ...] = (2 / 3, 8 / 9)
    """Parts of `steps`."""
    warmup_steps: Annotated[int, Field(ge=0)] = 1000
    """The rate grows linearly from a thousandth over these."""
    clip_gradient_norm: NonNegative = 0.0
    """Largest norm of all gradients together; 0 is no limit."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast type of the dense layers; RoIAlign, NMS and box arithmetic stay in float32."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights that is evaluated and exported; 0 is no average."""
    evaluate_every: Positive = 5000
    """Steps between evaluations on val."""
    checkpoint_every: Positive = 1000
    """Steps between checkpoints: what a kill loses at most."""
    best_by: Literal["mask_ap", "box_ap", "count_mae"] = "mask_ap"
    """What makes an evaluation the best so far."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that read and augment."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the initial weights, the order of the images, the augmentation and the sampling."""
    augment: AugmentSettings = AugmentSettings()
