"""The presets against torchvision's own modules: every number, and the parts without weights at published sizes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from maskrcnn.config import model_settings
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.ops.box_deltas import decode_deltas
from maskrcnn.structures.image_batch import Size
from tests.oracles import torchvision_models

PRESETS = {"resnet50": "torchvision_v1", "resnet50_v2": "torchvision_v2"}


def build_both() -> tuple[TorchvisionMaskRCNN, MaskRCNN]:
    """Without weights: for the parts that need none."""
    with torch.device("meta"):
        return torchvision_models.build("resnet50").eval(), build_model(model_settings("torchvision_v1")).eval()


def textured(size: Size) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("body", "preset"), PRESETS.items())
def test_numbers_of_the_preset(body: str, preset: str) -> None:
    with torch.device("meta"):
        theirs = torchvision_models.build(body)
    transform, rpn, heads = theirs.transform, theirs.rpn, theirs.roi_heads
    expected: Mapping[str, Mapping[str, Any]] = {
        "resize": {"shortest_edge": transform.min_size[-1], "longest_edge": transform.max_size},
        "pad": {"divisor": transform.size_divisible},
        "rpn": {
            "pre_nms_top_n": rpn._pre_nms_top_n["testing"],
            "post_nms_top_n": rpn._post_nms_top_n["testing"],
            "train_pre_nms_top_n": rpn._pre_nms_top_n["training"],
            "train_post_nms_top_n": rpn._post_nms_top_n["training"],
            "nms_threshold": rpn.nms_thresh,
            "min_size": rpn.min_size,
            "foreground_iou": rpn.proposal_matcher.high_threshold,
            "background_iou": rpn.proposal_matcher.low_threshold,
            "anchors_per_image": rpn.fg_bg_sampler.batch_size_per_image,
            "positive_fraction": rpn.fg_bg_sampler.positive_fraction,
            "delta_weights": rpn.box_coder.weights,
        },
        "roi": {
            "sampling_ratio": heads.box_roi_pool.sampling_ratio,
            "box_resolution": heads.box_roi_pool.output_size[0],
            "mask_resolution": heads.mask_roi_pool.output_size[0],
            "canonical_size": heads.box_roi_pool.canonical_scale,
            "foreground_iou": heads.proposal_matcher.low_threshold,
            "proposals_per_image": heads.fg_bg_sampler.batch_size_per_image,
            "positive_fraction": heads.fg_bg_sampler.positive_fraction,
        },
        "box_head": {"delta_weights": heads.box_coder.weights},
        "detection": {
            "score_threshold": heads.score_thresh,
            "nms_threshold": heads.nms_thresh,
            "max_detections": heads.detections_per_img,
        },
    }
    norms = {(type(m), m.eps) for m in theirs.backbone.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)}
    settings = model_settings(preset).model_dump()
    for group, values in expected.items():
        assert {key: settings[group][key] for key in values} == values
    kind = FrozenBatchNorm2d if settings["backbone"]["norm"] == "frozen_bn" else nn.BatchNorm2d
    assert norms == {(kind, settings["backbone"]["norm_eps"])}


@pytest.mark.parametrize(
    "sizes", [[(427, 640)], [(333, 500), (640, 481)], [(60, 1000)], [(1100, 900), (37, 51)]], ids=str
)
def test_pictures_come_to_the_same_pixels(sizes: list[Size]) -> None:
    theirs, ours = build_both()
    pictures = [textured(size) for size in sizes]
    expected, _ = theirs.transform([torch.from_numpy(p).permute(2, 0, 1).float() / 255 for p in pictures])
    images = ours.normalise([ours.resize(picture) for picture in pictures], sizes, torch.device("cpu"))
    assert list(images.sizes) == expected.image_sizes
    torch.testing.assert_close(images.pixels, expected.tensors, rtol=0, atol=3e-6)


@pytest.mark.parametrize("padded_size", [(800, 1344), (800, 1056), (1333 // 32 * 32, 736), (64, 32)], ids=str)
def test_anchors(padded_size: Size) -> None:
    theirs, ours = build_both()
    grids = [tuple(math.ceil(side / stride) for side in padded_size) for stride in (4, 8, 16, 32, 64)]
    images = ImageList(torch.empty(1, 0, *padded_size), [padded_size])
    (expected,) = theirs.rpn.anchor_generator(images, [torch.empty(1, 1, *grid) for grid in grids])
    assert torch.equal(torch.cat(ours.rpn.anchors(padded_size, grids, torch.device("cpu"))), expected)


@pytest.mark.parametrize("part", ["box", "mask"])
def test_regions_of_every_size_are_read_alike(part: str) -> None:
    theirs, ours = build_both()
    head = getattr(ours, f"{part}_head")
    padded_size = (800, 1088)
    torch.manual_seed(0)
    levels = [torch.randn(2, 3, padded_size[0] // stride, padded_size[1] // stride) for stride in (4, 8, 16, 32)]
    sides = 2 ** (torch.rand(200, 2) * 12 - 2)  # 0.25 .. 1024 px
    # Where the level changes: 112, 224 and 448 px, as near as float32 comes.
    at_steps = torch.tensor([112.0, 224.0, 448.0])
    at_steps = torch.cat([at_steps, at_steps.nextafter(torch.tensor(0.0)), at_steps.nextafter(torch.tensor(1e3))])
    sides = torch.cat([sides, at_steps[:, None].expand(-1, 2)])
    corners = torch.rand(len(sides), 2) * 200 - 20
    corners[200:] = 0  # keeps the sides exact
    boxes = torch.cat([corners, corners + sides], dim=1)
    boxes = [boxes[::2], boxes[1::2]]
    image_idx = torch.arange(2).repeat_interleave(torch.tensor([len(b) for b in boxes]))
    pool = getattr(theirs.roi_heads, f"{part}_roi_pool")
    expected = pool({str(i): level for i, level in enumerate(levels)}, boxes, [padded_size, padded_size])
    pooled = head.pooler(levels, torch.cat(boxes), image_idx, padded_size, head.resolution)
    assert len(head.pooler.level_of(torch.cat(boxes), padded_size).unique()) == 4
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", ["rpn", "roi_heads"])
def test_large_deltas_are_limited_alike(part: str) -> None:
    theirs, _ = build_both()
    settings = model_settings("torchvision_v1")
    group = settings.rpn if part == "rpn" else settings.box_head
    torch.manual_seed(0)
    deltas = torch.randn(100, 4) * 30
    corners = torch.rand(100, 2) * 300
    references = torch.cat([corners, corners + 1 + torch.rand(100, 2) * 100], dim=1)
    expected = getattr(theirs, part).box_coder.decode_single(deltas, references)
    decoded = decode_deltas(deltas, references, group.delta_weights, group.delta_clamp)
    torch.testing.assert_close(decoded, expected, rtol=1e-5, atol=1e-3)
