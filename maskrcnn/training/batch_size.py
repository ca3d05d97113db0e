"""How many images a step takes, and the learning rate that belongs to them."""

import logging

import torch

from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.config import Config
from maskrcnn.data.loading import Batch
from maskrcnn.distributed import gather, world_size
from maskrcnn.model.build import build_model
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets
from maskrcnn.training.schedule import build_optimizer
from maskrcnn.training.step import TrainingStep

log = logging.getLogger("maskrcnn")

LARGEST = 256  # images for a process
USUAL_SIDE = 1024  # px, of pictures whose size no limit tells
NUM_OBJECTS = 20  # in each of the images that memory is tried with


def with_batch_size(config: Config, batch_size: int | str, device: torch.device) -> Config:
    """`config`, which has the classes of the data, with another batch size.

    The learning rate is in proportion to it (arXiv:1706.02677), which is said aloud.

    "auto" takes the largest power of two of images that a training step on this GPU holds, in every process.

    Raises:
        ValueError: "auto" without CUDA, or a batch that is no multiple of the processes.
    """
    settings = config.train
    if batch_size == "auto":
        if device.type != "cuda":
            raise ValueError("batch_size auto fills the memory of a GPU; on a CPU give a number")
        batch_size = min(gather(_largest_batch(config, device))) * world_size()
        if not batch_size:
            raise ValueError(f"not even one image of the largest size fits into the memory of {device}")
    assert isinstance(batch_size, int)
    if batch_size % world_size():
        raise ValueError(f"batch_size {batch_size} is no multiple of the {world_size()} processes")
    rate = settings.learning_rate * batch_size / settings.batch_size
    log.info(
        f"{batch_size} images a step in place of {settings.batch_size}, so the learning rate is "
        f"{settings.learning_rate:g} x {batch_size} / {settings.batch_size} = {rate:g}"
    )
    train = settings.model_copy(update={"batch_size": batch_size, "learning_rate": rate})
    return config.model_copy(update={"train": train})


def _largest_batch(config: Config, device: torch.device) -> int:
    """Images of the largest size that training makes, by trying steps until the memory does not hold them."""
    settings = config.train.model_copy(update={"accumulate": 1, "learning_rate": 0.0})
    if config.semantic is None:
        model, largest = build_model(config.model), config.model.resize.longest_edge
    else:
        model, largest = build_semantic(config.semantic, for_training=True), USUAL_SIDE
    model = model.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    optimizer = build_optimizer(model, settings)
    step = TrainingStep(model, settings, device, is_alone=True)  # memory may end in one process before the others
    side = settings.augment.crop or largest
    fits = 0
    while fits < LARGEST:
        tried = max(1, 2 * fits)
        try:
            step(_full_batch(tried, side), optimizer, 0)
        except torch.cuda.OutOfMemoryError:
            break
        fits = tried
    del model, optimizer, step
    torch.cuda.empty_cache()
    return fits


def _full_batch(num: int, side: int) -> Batch:
    """Grey squares with objects in them."""
    size = side // 8
    corners = torch.arange(NUM_OBJECTS) * 7 % max(side - size, 1)
    boxes = torch.stack([corners, corners, corners + size, corners + size], dim=1).float()
    masks = MaskCrops.from_bitmaps([(x, x, torch.ones(size, size).numpy()) for x in corners.tolist()])
    targets = Targets(boxes, torch.zeros(NUM_OBJECTS, dtype=torch.int64), masks, torch.zeros(0, 4))
    image = torch.full((3, side, side), 128, dtype=torch.uint8)
    return Batch([image] * num, [targets] * num, ["memory test"] * num, list(range(num)))
