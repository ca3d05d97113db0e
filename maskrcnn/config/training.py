"""Every setting of a training run."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from maskrcnn.config.base import Settings
from maskrcnn.config.bounds import (
    Decay,
    Fraction,
    FractionBelow1,
    GradientNorm,
    Images,
    Pixels,
    Processes,
    Rate,
    Seed,
    Side,
    Steps,
    StepsOr0,
    Zoom,
)

Range = tuple[Zoom, Zoom]


class AugmentSettings(Settings):
    """Random changes of a training image; masks and boxes follow. Sizes are those of the network's input."""

    resize: bool = True
    """First bring the image to the size that the model's own `resize` gives it."""
    shortest_edges: Annotated[tuple[Side, ...], Field(max_length=1000)] = ()
    """Take for the shorter side, in place of the model's, one of these, drawn for each image (multi-scale training)."""
    jitter: Range | None = None
    """Instead bring the image to fit a square of `crop` times a factor drawn evenly from this range: large-scale jitter
    (arXiv:2012.07177: 0.1 to 2)."""
    scale: Range | None = None
    """Then scale by a factor from this range, drawn evenly in its logarithm."""
    crop: Side | None = None
    """Then cut a square of this side at a random place, px."""
    min_visible_px: Side = 1
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
    copy_paste: Fraction = 0.0
    """Probability of pasting objects of another image over this one (arXiv:2012.07177)."""

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "AugmentSettings":
        for name in ("jitter", "scale"):
            value = getattr(self, name)
            if value is not None and value[0] > value[1]:
                raise ValueError(f"{name} goes from the smaller factor to the larger, got {value[0]:g} to {value[1]:g}")
        return self

    @model_validator(mode="after")
    def _jitter_into_a_crop(self) -> "AugmentSettings":
        if self.jitter is not None and self.crop is None:
            raise ValueError("jitter needs crop, the side of the square that it fills")
        return self


class DataSettings(Settings):
    """Where the data of a run lies. Paths in a YAML file are relative to where the command is run."""

    train: str | None = None
    """Annotations to train on: COCO, VIA, LabelMe, YOLO, VOC, label images or masks of single objects."""
    val: str | None = None
    """Annotations to evaluate on during training."""
    format: str | None = None
    """Of both, where a folder can be read in several ways; recognised where nothing is said."""
    images: str | None = None
    """Folder of the images that both name, where it is not beside them."""
    val_images: str | None = None
    """Folder of the val images, where it is another one."""
    val_fraction: FractionBelow1 = 0.0
    """Part of the images that is held out to evaluate on, where the data name no such set; by their file names. A run
    of which nothing is said here holds out a fifth."""
    group_key: str | None = None
    """Regular expression; images of which it finds the same text in the file name stay on one side of that division."""
    crowd_as_objects: bool = False
    """Take crowd regions for objects: for exporters that mark every mask as a crowd (see mostly-crowd)."""
    max_pixels: Pixels | None = None
    """That an image or a mask may have; by default 200 million, fewer where memory is short."""
    allow: tuple[str, ...] = ()
    """Kinds of errors (see tools/check_dataset.py) whose annotations and images are left out instead of stopping."""


class TrainSettings(Settings):
    """Optimiser, schedule and bookkeeping.

    What a configuration leaves open a run decides by its data and device, and says so before it starts (see
    training/plan.py): steps, batch, precision, optimiser, intervals, processes. The defaults here are those of COCO on
    eight GPUs (arXiv:1703.06870), for whoever makes a `Trainer` without a plan.
    """

    init_from: str | None = None
    """Weights to start from: a shipped name, a name of the zoo, or a checkpoint file of any known package. The network
    and its conventions are theirs wherever `model` does not say otherwise; heads are fitted to the data's classes.
    `imagenet`: the body of `model` as its package publishes it, with its preprocessing."""
    init_preset: str | None = None
    """Preset of `init_from`, where it is another package's file that does not say it."""
    steps: Steps = 90_000
    """Optimiser steps of the whole run."""
    layers: Literal["all", "3+", "4+", "5+", "heads"] = "all"
    """What is trained: everything, the backbone from that stage on (C3, C4, C5), or nothing of the backbone."""
    batch_size: Images = 16
    """Images of a step, of all processes together."""
    accumulate: Images = 1
    """Parts in which a process takes its images through the network, one after the other, to save memory."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Rate = 0.02
    """Peak, at `batch_size`."""
    momentum: Fraction = 0.9
    """SGD's; AdamW uses (0.9, 0.999)."""
    weight_decay: Decay = 1e-4
    """Not applied to norms and biases."""
    schedule: Literal["step", "cosine"] = "step"
    """`step`: a tenth at each of `milestones`; `cosine`: down to 0."""
    milestones: Annotated[tuple[Fraction, ...], Field(max_length=100)] = (2 / 3, 8 / 9)
    """Parts of `steps`."""
    warmup_steps: StepsOr0 = 1000
    """The rate grows linearly from a thousandth over these."""
    clip_gradient_norm: GradientNorm = 0.0
    """Largest norm of all gradients together; 0 is no limit."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast type of the dense layers; RoIAlign, NMS and box arithmetic stay in float32."""
    average_decay: FractionBelow1 = 0.0
    """Decay of the moving average of the weights that is evaluated and exported; 0 is no average."""
    evaluate_every: Steps = 5000
    """Steps between evaluations on val."""
    checkpoint_every: Steps = 1000
    """Steps between checkpoints: what a kill loses at most."""
    best_by: Literal["mask_ap", "box_ap", "count_mae", "pq", "mean_iou", "mean_dice", "pixel_accuracy"] = "mask_ap"
    """What makes an evaluation the best so far; `pq` is panoptic quality, of models with a semantic head. A semantic
    network has the last three, and `mean_iou` where nothing is said."""
    patience: StepsOr0 = 0
    """Evaluations in a row without a new best after which the run stops; 0 never stops early."""
    val_loss: bool = True
    """Whether an evaluation also takes the losses on val."""
    sync_batch_norm: bool = False
    """Batch statistics over all processes (CUDA only)."""
    workers: Processes = 2
    """Processes that read and augment."""
    repeat_threshold: Fraction = 0.0
    """Images with classes that fewer than this part of all images have are seen more often (arXiv:1908.03195)."""
    seed: Seed = 0
    """Of the initial weights, the order of the images, the augmentation and the sampling."""
    augment: AugmentSettings = AugmentSettings()
