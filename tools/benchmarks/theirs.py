"""A pass of torchvision as its reference scripts do it: eager, masks pasted into whole images, pycocotools' encode."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_masks
from torch import Tensor
from torchvision.transforms.functional import convert_image_dtype
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from benchmarks.peers import (
    BOX_HEAD,
    DECODE,
    DENSE,
    DRAWING,
    MASK_HEAD,
    MASKS,
    POOLING,
    POST,
    PREPROCESS,
    RLE,
    Found,
    Job,
    Run,
)
from benchmarks.stopwatch import Places, Stopwatch
from benchmarks.weights import build_network
from maskrcnn.data.images import read_image


def build(job: Job) -> Run:
    """torchvision's model with the job's weights, and its pass."""
    device = torch.device(job.device)
    model = build_network(job.workload)
    model.load_state_dict(torch.load(job.weights, weights_only=True))
    model.to(device)
    places = places_of(model)
    half = torch.autocast(device.type, torch.bfloat16) if job.precision == "bf16" else nullcontext()

    def run(watch: Stopwatch) -> tuple[list[Found], dict[str, int]]:
        with torch.inference_mode(), watch.watching(places):
            with watch.part(DECODE):
                pictures = [torch.from_numpy(read_image(job.picture)).permute(2, 0, 1) for _ in range(job.batch)]
            with watch.part(PREPROCESS):
                inputs = [convert_image_dtype(picture.to(device)) for picture in pictures]
            with watch.part(POST), half:
                results = model(inputs)
            with watch.part(POST):
                results = [_to_cpu(one) for one in results]
            return [finish(watch, *one) for one in zip(pictures, results, strict=True)], {}

    return run


def finish(watch: Stopwatch, picture: Tensor, result: dict[str, Tensor]) -> Found:
    """Masks (N, 1, H, W) 0..1 of `result` to RLE, and drawn on `picture` (3, H, W) uint8."""
    with watch.part(RLE):
        is_set = result["masks"][:, 0] > 0.5
        rles = [encode(mask) for mask in is_set.numpy()]
    with watch.part(DRAWING):
        names = [f"{label} {score:.2f}" for label, score in zip(result["labels"], result["scores"], strict=True)]
        drawn = draw_segmentation_masks(picture, is_set, alpha=0.35)
        draw_bounding_boxes(drawn, result["boxes"], names)
    return Found(result["boxes"].numpy(), result["labels"].numpy() - 1, rles)


def _to_cpu(result: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {name: tensor.cpu() for name, tensor in result.items()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Compressed RLE of a bool (H, W)."""
    return dict(coco_masks.encode(np.asfortranarray(mask, np.uint8)))


def places_of(model: Any) -> Places:
    """Where the parts of a pass run."""
    heads = model.roi_heads
    return {
        PREPROCESS: [(model.transform, "forward")],
        DENSE: [(model.backbone, "forward"), (model.rpn.head, "forward")],
        POOLING: [(heads.box_roi_pool, "forward"), (heads.mask_roi_pool, "forward")],
        BOX_HEAD: [(heads.box_head, "forward"), (heads.box_predictor, "forward")],
        MASK_HEAD: [(heads.mask_head, "forward"), (heads.mask_predictor, "forward")],
        MASKS: [(model.transform, "postprocess")],
    }
