"""What a run does where its configuration is silent: by the data, the device and its memory, and said before it starts.

What the configuration says always wins. Numbers without a source are what the examples under configs/ were found to
need.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from maskrcnn.config import Config
from maskrcnn.config.backbone import BackboneSettings, ResNetSettings
from maskrcnn.config.semantic import UNetSettings
from maskrcnn.distributed import num_cores, world_size
from maskrcnn.prediction.execution import choose_precision, multiplies_bf16
from maskrcnn.semantic.preprocess import Preprocess
from maskrcnn.untrusted.machine_memory import free_bytes

EPOCHS, LEAST_EPOCHS = 50, 12
SMALL_SET = {"cpu": 250, "cuda": 1000}
"""`EPOCHS` of up to so many images; of more images fewer, so that as many are seen, down to COCO's usual 12."""
LEAST_STEPS = 100
LARGEST_BATCH = {"cpu": 2, "cuda": 16}
SIZES = {"cpu": ((416, 693), (320, 533)), "cuda": ((800, 1333), (640, 1066), (512, 853))}
"""Shorter and longer side that are tried, px: 800 as in arXiv:1612.03144 is for GPUs."""
BYTES_PER_PIXEL = {18: 1300, 34: 1600, 50: 2700, 101: 3400, 152: 4200}
"""Of the network's input, that a training step keeps, by depth; measured with 256 channels in the pyramid, float32."""
BYTES_PER_LABEL = 12
"""Of the network's input, for each label of a semantic head: its logit at that size, what the loss keeps of it, and its
gradient, in float32 whatever the precision."""
BYTES_PER_CHANNEL = 120
"""Of the network's input, that a training step of a U-Net keeps for each of its channels, in float32."""
BYTES_OF_TORCHVISION = 6000
"""Of the input of torchvision's semantic networks, whose maps have a stride of 8."""
USABLE = 0.5
"""Part of the available memory that is planned with; the rest is for loading, evaluating, and what was misjudged."""
LIGHT: dict[str, dict[str, Any]] = {
    "backbone": {"depth": 18, "norm": "gn"},
    "fpn": {"channels": 128, "norm": "gn"},
    "roi": {"proposals_per_image": 128},
    "box_head": {"fc_channels": 512},
    "mask_head": {"channels": 128, "norm": "gn"},
}
"""Differences of the network for CPUs. Group norm, since a few images are too few for batch statistics
(arXiv:1803.08494)."""
RECIPE = ("optimizer", "learning_rate", "momentum", "weight_decay", "schedule", "milestones", "clip_gradient_norm")
RECIPE_BATCH = 4  # images of a step that the learning rate below is for


@dataclass(frozen=True)
class Plan:
    """A configuration without open ends, and a sentence on each that was closed."""

    config: Config
    chosen: tuple[str, ...]


def plan_model(config: Config, device: torch.device) -> Plan:
    """A light network on a CPU, where neither the configuration nor weights to start from name one."""
    is_said = bool(set(LIGHT) & config.model.model_fields_set) or config.train.init_from is not None
    if is_said or config.semantic is not None or device.type != "cpu":
        return Plan(config, ())
    groups = {name: getattr(config.model, name).model_copy(update=changes) for name, changes in LIGHT.items()}
    model = config.model.model_copy(update=groups)
    return Plan(
        config.model_copy(update={"model": model}),
        ("network: a light one, ResNet-18 and half the channels, as it starts from random weights on a CPU (model)",),
    )


def plan_training(
    config: Config,
    num_images: int,
    sizes: Sequence[tuple[int, int]],
    device: torch.device,
    available_bytes: int,
    *,
    is_size_open: bool,
) -> Plan:
    """The rest, for `num_images` of which some have `sizes` (height, width) px, in so much memory for this process.

    `is_size_open`: neither the configuration nor weights to start from say at which size the network sees an image.
    """
    settings, given = config.train, config.train.model_fields_set
    chosen: list[str] = []
    changes: dict[str, Any] = {}
    kind = device.type if device.type in SIZES else "cpu"

    def choose(name: str, value: Any, why: str = "") -> Any:
        if name in given:
            return getattr(settings, name)
        changes[name] = value
        shown = f"{value:.3g}" if isinstance(value, float) else value
        chosen.append(f"{name} {shown}{f' ({why})' if why else ''}")
        return value

    precision = choose("precision", _precision(device), "of the network's dense layers")
    model = config.model
    is_size_open = is_size_open and not settings.augment.crop and config.semantic is None
    per_pixel = _bytes_of_network(config) * (1.0 if precision == "fp32" else 0.65)
    labelled = config.semantic or model.semantic_head
    if labelled is not None:
        per_pixel += BYTES_PER_LABEL * len(labelled.class_names)
    usable = USABLE * available_bytes
    candidates = SIZES[kind] if is_size_open else ((model.resize.shortest_edge, model.resize.longest_edge),)
    per_image, edges = 0.0, candidates[-1]
    for edges in candidates:
        pixels = max(_input_pixels(config, edges, size) for size in sizes) if sizes else edges[0] * edges[1]
        per_image = per_pixel * pixels
        if per_image * min(2, LARGEST_BATCH[kind]) <= usable:
            break
    if is_size_open:
        resize = model.resize.model_copy(update={"shortest_edge": edges[0], "longest_edge": edges[1]})
        model = model.model_copy(update={"resize": resize})
        chosen.append(f"model.resize {edges[0]} px, at most {edges[1]} (what {_gigabytes(available_bytes)} hold)")
    fits = 1
    while 2 * fits <= LARGEST_BATCH[kind] and 2 * fits * per_image / settings.accumulate <= usable:
        fits *= 2
    batch = choose("batch_size", fits * world_size(), "images of a step")
    epochs = min(EPOCHS, max(LEAST_EPOCHS, EPOCHS * SMALL_SET[kind] / num_images))
    planned = max(LEAST_STEPS, math.ceil(num_images * epochs / batch))
    steps = choose("steps", planned, f"{planned * batch / num_images:.0f} times through {num_images} images")
    choose("warmup_steps", min(1000, steps // 10))
    choose("evaluate_every", max(1, math.ceil(steps / 10)))
    choose("checkpoint_every", min(1000, max(10, steps // 50)))
    choose("workers", min(8, max(1, num_cores() - 1)) if kind == "cuda" else min(2, max(1, num_cores() - 1)))
    if not given & set(RECIPE):
        choose("optimizer", "adamw")
        choose("learning_rate", 4e-4 * math.sqrt(batch / RECIPE_BATCH))
        choose("weight_decay", 0.02)
        choose("schedule", "cosine")
        choose("clip_gradient_norm", 5.0)
        choose("average_decay", max(0.0, 1 - 10 / max(steps, 10)))
    elif "batch_size" not in given:
        rate = settings.learning_rate * batch / settings.batch_size
        choose("learning_rate", rate, "in proportion to the batch, arXiv:1706.02677")
    train = settings.model_copy(update=changes)
    return Plan(config.model_copy(update={"train": train, "model": model}), tuple(chosen))


def available_memory(device: torch.device) -> int:
    """Bytes that this process can still take, in the GPU or in this machine (or what a container is limited to)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_bytes() // world_size()


def duration(seconds: float) -> str:
    """About how long, such as "50 s", "12 min", "3.5 h", "2 days"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def _input_pixels(config: Config, edges: tuple[int, int], size: tuple[int, int]) -> int:
    """Of the network's input for an image of `size`, at the largest that the augmentations make it."""
    augment, resize = config.train.augment, config.model.resize
    if augment.crop:
        return augment.crop**2
    if config.semantic is not None:
        height, width = Preprocess(**config.semantic.pixels.model_dump()).output_size(size)
        return round(height * width * (augment.scale[1] ** 2 if augment.scale else 1.0))
    if resize.mode == "square":
        return resize.longest_edge**2
    factor = resize.scale if resize.mode == "scale" else max((edges[0], *augment.shortest_edges)) / min(size)
    factor = min(factor, edges[1] / max(size)) * (augment.scale[1] if augment.scale else 1.0)
    return round(size[0] * factor) * round(size[1] * factor)


def _bytes_of_network(config: Config) -> float:
    body: BackboneSettings | None = config.model.backbone
    own = 0.0
    if config.semantic is not None:
        network = config.semantic.network
        if not isinstance(network, UNetSettings):
            return BYTES_OF_TORCHVISION
        own, body = BYTES_PER_CHANNEL * network.channels, network.encoder
    return own + (_bytes_per_pixel(body) if body is not None else 0.0)


def _bytes_per_pixel(body: BackboneSettings) -> float:
    if isinstance(body, ResNetSettings):
        return BYTES_PER_PIXEL[body.depth] * body.stem_channels / 64
    return BYTES_PER_PIXEL[50]  # the bodies of torchvision and timm that are in use are about as large


def _precision(device: torch.device) -> str:
    if device.type == "cpu":
        return "bf16" if multiplies_bf16() else "fp32"
    return choose_precision("auto", device)


def _gigabytes(number: int) -> str:
    return f"{number / 2**30:.1f} GB of free memory"
