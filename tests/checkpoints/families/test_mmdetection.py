"""Weights in mmdetection's layout, read back: the detections that mmdetection's definition gives from its own names.

Shown with `pytest -s`: the largest differences.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskrcnn.checkpoints.families.mmdetection import conventions, convert, is_family
from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.structure import num_classes_of, structure_of
from maskrcnn.config import PRESETS, model_settings, overlay
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from tests.conditioning import condition
from tests.oracles import mmdetection_model as oracle
from tests.oracles.mmdetection_layout import to_mmdetection, to_mmdetection_1x, write_pth
from tests.oracles.mmdetection_model import Options
from tests.tiny import batch

NUM_CLASSES = 5
SIZES = {"landscape": (190, 251), "portrait": (263, 177)}
SLIM: dict[str, dict[str, Any]] = {
    "backbone": {"depth": 50, "stem_channels": 16},
    "fpn": {"channels": 32},
    "box_head": {"fc_channels": 64, "conv_channels": 32},
    "mask_head": {"channels": 32},
}
BGR_MEAN, X101_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
BOX, SCORE = 1e-4, 1e-4  # allowed differences, relative to the picture's longer side and to 1
UNDECIDED = 1e-3  # so near to one half, a mask's value in a pixel may be on either side

CONFIG_2X = """
model = dict(
    type='MaskRCNN',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True,
                  style='pytorch'),
    test_cfg=dict(rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)))
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(300, 240), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True),
        dict(type='RandomFlip'),
        dict(type='Normalize', **img_norm_cfg),
        dict(type='Pad', size_divisor=32)])
]
data = dict(test=dict(type='CocoDataset', pipeline=test_pipeline))
"""
CONFIG_3X = """
model = dict(
    type='mmdet.models.detectors.mask_rcnn.MaskRCNN',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0],
                           bgr_to_rgb=False, pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(requires_grad=False, type='BN'), style='caffe'))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='Resize', keep_ratio=True, scale=(300, 240)),
    dict(type='PackDetInputs')]))
"""
# Every number that inference looks at is another than mmdetection's own.
CONFIG_OTHER = """
model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], bgr_to_rgb=False),
    backbone=dict(type='ResNeXt', depth=50, groups=4, base_width=4, style='pytorch', norm_eval=False),
    neck=dict(type='FPN', norm_cfg=dict(type='SyncBN')),
    rpn_head=dict(
        type='RPNHead', num_convs=2,
        anchor_generator=dict(type='AnchorGenerator', scales=[6], ratios=[0.4, 1.0, 2.5], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[.0, .0, .0, .0], target_stds=[1.0, 1.0, 0.8, 0.8])),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(type='SingleRoIExtractor', finest_scale=48, roi_layer=dict(
            type='RoIAlign', output_size=7, sampling_ratio=2, aligned=False)),
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.], target_stds=[0.12, 0.12, 0.25, 0.25])),
        mask_roi_extractor=dict(type='SingleRoIExtractor', finest_scale=48, roi_layer=dict(
            type='RoIAlign', output_size=14, sampling_ratio=2, aligned=False))),
    test_cfg=dict(
        rpn=dict(nms_pre=150, max_per_img=200, nms=dict(type='nms', iou_threshold=0.6), min_bbox_size=0),
        rcnn=dict(score_thr=0.002, nms=dict(type='nms', iou_threshold=0.4), max_per_img=60)))
test_pipeline = [dict(type='Resize', scale=(240, 300), keep_ratio=True)]
"""
CONFIG_1X = """
model = dict(
    type='MaskRCNN',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN', requires_grad=True), style='pytorch'),
    rpn_head=dict(type='RPNHead', anchor_scales=[8], anchor_ratios=[0.5, 1.0, 2.0], anchor_strides=[4, 8, 16, 32, 64],
                  target_means=[.0, .0, .0, .0], target_stds=[1.0, 1.0, 1.0, 1.0]),
    bbox_roi_extractor=dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', out_size=7, sample_num=2)),
    bbox_head=dict(type='SharedFCBBoxHead', num_fcs=2, num_classes=6, target_stds=[0.1, 0.1, 0.2, 0.2]),
    mask_roi_extractor=dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', out_size=14, sample_num=2)),
    mask_head=dict(type='FCNMaskHead', num_classes=6))
test_cfg = dict(
    rpn=dict(nms_across_levels=False, nms_pre=1000, nms_post=1000, max_num=1000, nms_thr=0.7, min_bbox_size=0),
    rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_thr=0.5), max_per_img=100, mask_thr_binary=0.5))
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
data = dict(test=dict(pipeline=[
    dict(type='MultiScaleFlipAug', img_scale=(256, 192), transforms=[
        dict(type='Resize', keep_ratio=True), dict(type='Normalize', **img_norm_cfg)])]))
"""
SMALL = Options(img_scale=(300, 240))
CAFFE = replace(SMALL, to_rgb=False, mean=BGR_MEAN, std=(1, 1, 1), style="caffe")
OTHER = Options(
    to_rgb=False,
    mean=BGR_MEAN,
    std=X101_STD,
    img_scale=(240, 300),
    anchor_scale=6,
    anchor_ratios=(0.4, 1.0, 2.5),
    rpn_stds=(1, 1, 0.8, 0.8),
    nms_pre=150,
    max_num=200,
    rpn_nms_thr=0.6,
    aligned=False,
    sampling_ratio=2,
    finest_scale=48,
    bbox_stds=(0.12, 0.12, 0.25, 0.25),
    score_thr=0.002,
    iou_thr=0.4,
    max_per_img=60,
)


@dataclass(frozen=True)
class Network:
    """How its weights were made, what mmdetection writes beside them, and what it then does."""

    preset: str
    settings: dict[str, Any]
    meta: dict[str, Any]
    options: Options


NETWORKS = {
    "2.x": Network("mmdet_pytorch", {}, {"config": CONFIG_2X, "mmdet_version": "2.28.2"}, SMALL),
    "3.x caffe": Network("mmdet_caffe", {}, {"cfg": CONFIG_3X}, CAFFE),
    "other numbers": Network(
        "mmdet_pytorch",
        {
            "pixels": {"order": "bgr", "mean": BGR_MEAN, "std": X101_STD},
            "backbone": {"groups": 4, "width_per_group": 16, "norm": "bn"},
            "fpn": {"norm": "bn"},
            "rpn": {"convs": 2},
            "box_head": {"convs": 4, "conv_norm": "bn", "fcs": 1, "class_agnostic": True},
            "mask_head": {"norm": "bn", "class_agnostic": True},
        },
        {"cfg": CONFIG_OTHER},
        OTHER,
    ),
    "R18": Network("mmdet_pytorch", {"backbone": {"depth": 18}}, {"config": CONFIG_2X.replace("50", "18")}, SMALL),
}


def draw_shapes(size: tuple[int, int], seed: int) -> np.ndarray:
    """RGB uint8 (H, W, 3): coloured ellipses on smooth noise."""
    rng = np.random.default_rng(seed)
    height, width = size
    picture = np.full((height, width, 3), 128.0)
    for grain in (5, 20):
        noise = rng.normal(scale=30, size=(height // grain + 2, width // grain + 2, 3))
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(10):
        x, y, a, b = rng.integers((0, 0, 10, 10), (width, height, width // 5, height // 5)).tolist()
        is_inside = np.zeros(size, np.uint8)
        cv2.ellipse(is_inside, (x, y), (a, b), float(rng.integers(180)), 0, 360, 1, -1)
        picture[is_inside > 0] += rng.integers(-100, 100, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


@cache
def state_of(name: str) -> dict[str, Tensor]:
    """Slim random weights under our names, which find much in the pictures."""
    torch.manual_seed(3)
    network = NETWORKS[name]
    settings = model_settings(
        network.preset,
        resize={"shortest_edge": 240, "longest_edge": 300},
        class_names=[str(i) for i in range(NUM_CLASSES)],
        **overlay(SLIM, network.settings),
    )
    model = build_model(settings)
    # Fresh ones are so faint that their outputs would have to be blown up, and rounding with them.
    for layer in [*model.rpn.convs.modules(), *model.mask_head.modules()]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in" if isinstance(layer, nn.Conv2d) else "fan_out")
    condition(model, [draw_shapes((224, 288), seed=1)], background_logit=9.0)
    return model.state_dict()


@dataclass(frozen=True)
class Read:
    """A file that was read."""

    model: MaskRCNN
    preset: str
    facts: tuple[str, ...]
    assumptions: tuple[str, ...]


def read(path: Path) -> Read:
    """As the importer does it."""
    source = read_source(path)
    assert is_family(source.tensors.keys())
    tensors = convert(source.tensors)
    num_classes = num_classes_of(tensors)
    assert num_classes == NUM_CLASSES
    told = conventions(source, num_classes, structure_of(tensors))
    norm = overlay(PRESETS[told.preset], told.differences)["backbone"]["norm"]
    settings = overlay(structure_of(tensors, norm), told.differences)
    names = [str(i) for i in range(num_classes)]
    model = build_model(model_settings(told.preset, class_names=names, **settings)).eval()
    counters = {name: torch.tensor(0) for name in model.state_dict() if name.endswith("num_batches_tracked")}
    own = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    model.load_state_dict({**counters, **own})
    return Read(model, told.preset, told.facts, told.assumptions)


@torch.inference_mode()
def compare(model: MaskRCNN, weights: Mapping[str, Tensor], picture: np.ndarray, options: Options, title: str) -> int:
    """From the picture to masks in it, against mmdetection's definition; gives the number of detections."""
    mine = model.detect(batch(model, [picture]))[0]
    theirs = oracle.detect(weights, picture, options)
    # mmdetection keeps boxes that were cut down to nothing at the border.
    keep = (theirs.boxes[:, 2:] > theirs.boxes[:, :2]).all(dim=1)
    boxes, scores, labels, probs = (t[keep] for t in (theirs.boxes, theirs.scores, theirs.labels, theirs.mask_probs))
    values = theirs.mask_values[keep.numpy()]
    assert len(mine) == len(boxes)
    # Detections whose scores differ by less than rounding may change places.
    apart = (mine.boxes[None] - boxes[:, None]).abs().amax(dim=2)
    apart += 1e6 * (mine.labels[None] != labels[:, None])
    distance, order = apart.min(dim=1)
    assert sorted(order.tolist()) == list(range(len(mine)))
    assert (scores[order.argsort()].diff() <= 1e-5).all()
    bitmaps, masks = mine.bitmaps()[order.numpy()], values >= 0.5
    iou = (bitmaps & masks).sum(axis=(1, 2)) / np.maximum((bitmaps | masks).sum(axis=(1, 2)), 1)
    seen = {
        "detections in another place": int((order != torch.arange(len(order))).sum()),
        "boxes": float(distance.max() / max(picture.shape)),
        "scores": float((mine.scores[order] - scores).abs().max()),
        "mask probabilities": float((mine.mask_probs[order] - probs).abs().max()),
        "1 - IoU of a mask": float(1 - iou[masks.any(axis=(1, 2))].min()),
    }
    print(*(f"mmdetection {title}: {name}: {value:.1e}" for name, value in seen.items()), sep="\n")
    assert seen["boxes"] <= BOX
    assert seen["scores"] <= SCORE
    # A pixel at one half may fall on either side; the masks of random weights have many.
    is_decided = np.abs(values - 0.5) > UNDECIDED
    assert (bitmaps == masks)[is_decided].all()
    assert (bitmaps & masks).sum() >= 0.999 * (bitmaps | masks).sum()
    assert masks.sum() > 4000
    assert len(mine.labels.unique()) >= 3
    return len(mine)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_detections_are_mmdetections(name: str, size: str, tmp_path: Path) -> None:
    network, weights = NETWORKS[name], to_mmdetection(state_of(name))
    write_pth(tmp_path / "epoch_12.pth", weights, **network.meta)
    found = read(tmp_path / "epoch_12.pth")
    assert (found.preset, found.assumptions) == (network.preset, ())
    num = compare(found.model, weights, draw_shapes(SIZES[size], seed=2), network.options, f"{name}, {size}")
    assert num >= 20


@torch.inference_mode()
@pytest.mark.parametrize("size", [(192, 256), (256, 192)])
def test_files_of_1x_give_its_boxes_and_masks_before_they_go_to_whole_pixels(
    size: tuple[int, int], tmp_path: Path
) -> None:
    weights = to_mmdetection_1x(state_of("2.x"))
    write_pth(tmp_path / "epoch_12.pth", weights, config="/home/me/configs/mask_rcnn_r50_fpn_1x.py" + CONFIG_1X)
    found = read(tmp_path / "epoch_12.pth")
    assert len(found.assumptions) == 1
    picture = draw_shapes(size, seed=2)
    mine = found.model.detect(batch(found.model, [picture]))[0]
    options = replace(SMALL, img_scale=(256, 192), aligned=False, sampling_ratio=2, is_1x=True)
    theirs = oracle.detect(weights, picture, options)
    ends = theirs.boxes + torch.tensor([0, 0, 1, 1])  # there a box ends on its last pixel, here on that one's edge
    apart = (mine.boxes[None] - ends[:, None]).abs().amax(dim=2) + 1e6 * (mine.labels[None] != theirs.labels[:, None])
    distance, order = apart.min(dim=1)
    assert sorted(order.tolist()) == list(range(len(mine)))
    seen = {
        "boxes": float(distance.max() / max(size)),
        "scores": float((mine.scores[order] - theirs.scores).abs().max()),
        "mask probabilities": float((mine.mask_probs[order] - theirs.mask_probs).abs().max()),
    }
    print(*(f"mmdetection 1.x, {size}: {name}: {value:.1e}" for name, value in seen.items()), sep="\n")
    assert seen["boxes"] <= BOX
    assert max(seen["scores"], seen["mask probabilities"]) <= 1e-3
    assert len(mine) >= 20


def test_a_file_without_a_config_is_used_as_published(tmp_path: Path) -> None:
    # 800 within 1333, 1000 proposals, at most 100 detections.
    weights = to_mmdetection(state_of("2.x"))
    write_pth(tmp_path / "mask_rcnn.pth", weights)
    found = read(tmp_path / "mask_rcnn.pth")
    assert found.assumptions == ("RGB, stride in 3x3, the usual sizes, anchors and thresholds (preset mmdet_pytorch)",)
    assert compare(found.model, weights, draw_shapes((120, 300), seed=2), Options(), "as published") == 100
