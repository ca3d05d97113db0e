"""One batch of pictures through a model, for prediction and for evaluation."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from maskrcnn.data.annotations import Annotations
from maskrcnn.distributed import gather_to_first, is_first, rank, world_size
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.execution import DTYPES, Precision
from maskrcnn.structures.instances import Instances

EVALUATION_SCORE = 0.05  # AP needs the weak detections too


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context in which the dense layers run in `precision`."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


def detect(model: MaskRCNN, images: Sequence[np.ndarray]) -> list[Instances]:
    """Instances of RGB uint8 (H, W, 3) `images`, in one padded batch, on the model's device.

    The model must be in eval mode.
    """
    with torch.inference_mode():
        resized = [model.resize(image) for image in images]
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        return model.detect(model.normalise(resized, sizes, model.device))


def with_low_threshold(model: MaskRCNN) -> MaskRCNN:
    """`model` itself, told to keep detections down to the low scores that AP needs."""
    rules = model.box_head.rules
    model.box_head.rules = replace(rules, score_threshold=min(EVALUATION_SCORE, rules.score_threshold))
    return model


def detect_all(
    model: MaskRCNN,
    dataset: Annotations,
    precision: Precision = "fp32",
    in_tiles: Callable[[np.ndarray], Instances | None] = lambda image: None,
    judge: Callable[[int, Instances], None] | None = None,
    what: str = "val",
) -> dict[int, Instances]:
    """Instances of every image of `dataset`, by image id, one image at a time, on the CPU.

    `precision` is that in which a model with float32 weights, one in training, is used. `in_tiles` gives the result of
    a picture that is not seen whole, and None for others.
    `judge` takes the index and the whole result of each image; what is given back has no maps. `what` is
    the name of the progress bar.
    Each process of a group takes its share of the images; the first gets all results, the others none.
    """
    own = {}
    for index in share_of_images(len(dataset), what):
        image = dataset.load(index).image
        with autocast(model.device, precision):
            found = in_tiles(image)
            found = detect(model, [image])[0].to("cpu") if found is None else found
        if judge is not None:
            judge(index, found)
        own[dataset.image_ids[index]] = replace(found, maps={})  # those of all images would fill the memory
    parts = gather_to_first(own)
    if parts is None:
        return {}
    results = {image_id: found for part in parts for image_id, found in part.items()}
    return {image_id: results[image_id] for image_id in dataset.image_ids}


def share_of_images(num_images: int, what: str) -> Iterable[int]:
    """Indices of the images that this process takes, with a progress bar in the first."""
    own = range(rank(), num_images, world_size())
    return tqdm(own, unit="image", desc=what, disable=None if is_first() else True, leave=False)
