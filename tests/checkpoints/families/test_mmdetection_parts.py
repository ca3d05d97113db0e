"""Each convention of mmdetection alone, where a mistake could hide, and the sizes of its real architectures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.checkpoints.families.coco_classes import CLASS_NAMES
from maskrcnn.checkpoints.families.mmdetection import conventions, convert
from maskrcnn.checkpoints.source import Source
from maskrcnn.checkpoints.structure import structure_of
from maskrcnn.config import ModelSettings, model_settings, overlay
from maskrcnn.model.build import build_model
from maskrcnn.ops.box_deltas import decode_deltas
from tests.oracles import mmdetection_model as oracle
from tests.oracles.mmdetection_layout import to_mmdetection, to_mmdetection_1x
from tests.oracles.mmdetection_model import Options
from tests.tiny import batch

INPUTS = {
    "mmdet_pytorch": Options(),
    "mmdet_caffe": Options(to_rgb=False, mean=(103.53, 116.28, 123.675), std=(1, 1, 1)),
}


def slim_settings(preset: str) -> ModelSettings:
    return model_settings(preset, backbone={"depth": 50, "stem_channels": 16}, fpn={"channels": 32})


@pytest.mark.parametrize("preset", INPUTS)
def test_the_networks_input_is_mmdetections(preset: str) -> None:
    model, options = build_model(slim_settings(preset)), INPUTS[preset]
    rng = np.random.default_rng(0)
    # Exact halves, and any others.
    sizes = [(149, 298), (586, 293), (7, 2666), (800, 1333), (480, 640), *rng.integers(8, 3000, (3000, 2)).tolist()]
    assert all(model.resize.output_size((h, w)) == oracle.output_size(h, w, options.img_scale) for h, w in sizes)
    picture = rng.integers(0, 256, (61, 97, 3), np.uint8)
    mine, (theirs, size, _) = batch(model, [picture]), oracle.network_input(picture, options)
    assert mine.sizes == (size,)
    torch.testing.assert_close(mine.pixels.contiguous(), theirs, rtol=1e-6, atol=1e-5)


@torch.inference_mode()
def test_group_norms_give_mmdetections_pyramid() -> None:
    body, fpn = {"depth": 50, "stem_channels": 32, "norm": "gn"}, {"channels": 32, "norm": "gn"}
    model = build_model(model_settings("mmdet_pytorch", backbone=body, fpn=fpn))
    weights, pixels = to_mmdetection(model.state_dict()), torch.randn(1, 3, 64, 96)
    assert "backbone.layer1.0.gn1.weight" in weights
    model.load_state_dict(convert(weights))
    for level, other in zip(model.dense(pixels).levels, oracle.pyramid(weights, pixels, Options()), strict=True):
        torch.testing.assert_close(level, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("limit", [112.0, 224.0, 448.0])
def test_the_level_of_a_region_is_mmdetections_at_the_limits(limit: float) -> None:
    pooler = build_model(slim_settings("mmdet_pytorch")).box_head.pooler
    # Its epsilon is 1e-6 of 56 px: what is nearer to the limit than that counts as on it.
    sides = [limit, limit - 3e-5, limit - 1e-3, limit - 0.01, limit + 0.01]
    boxes = torch.tensor([[0, 0, float(side), float(side)] for side in sides])
    expected = [oracle.level_of(box, Options()) for box in boxes]
    assert expected[0] == expected[1] == expected[2] + 1
    assert pooler.level_of(boxes, (1024, 1024)).tolist() == expected


def test_anchors_are_mmdetections() -> None:
    anchors = build_model(slim_settings("mmdet_pytorch")).rpn.anchors
    grids = [(40, 56), (20, 28), (10, 14), (5, 7), (3, 4)]
    for i, (level, grid) in enumerate(zip(anchors((160, 224), grids, torch.device("cpu")), grids, strict=True)):
        torch.testing.assert_close(level, oracle.anchors(oracle.STRIDES[i], *grid, Options()))


def test_deltas_are_limited_as_in_mmdetection() -> None:
    model = build_model(slim_settings("mmdet_pytorch"))
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 300, (200, 2))
    boxes = torch.tensor(np.concatenate([low, low + rng.uniform(1, 300, (200, 2))], axis=1), dtype=torch.float32)
    deltas = torch.tensor(rng.normal(scale=(0.3, 0.3, 5, 5), size=(200, 4)), dtype=torch.float32)
    assert (deltas[:, 2:].abs() > oracle.MAX_RATIO).sum() > 100
    size, limits = (400, 500), torch.tensor([500, 400, 500, 400])
    of_rpn = decode_deltas(deltas, boxes, model.rpn.delta_weights, model.rpn.delta_clamp)
    of_box_head = decode_deltas(deltas * 10, boxes, model.box_head.delta_weights, model.box_head.delta_clamp)
    for mine, scale, stds in ((of_rpn, 1, Options().rpn_stds), (of_box_head, 10, Options().bbox_stds)):
        theirs = oracle.delta2bbox(boxes, deltas * scale, stds, size, Options())
        torch.testing.assert_close(torch.minimum(mine.clamp(min=0), limits), theirs, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("body", "num_values"),
    [
        # Weights and the four vectors of the batch norms, from the shapes of the published layers.
        ({"depth": 50}, 44_449_456),
        ({"depth": 101}, 63_493_808),
        ({"depth": 101, "groups": 32, "width_per_group": 4}, None),
        ({"depth": 101, "groups": 64, "width_per_group": 4}, None),
    ],
)
def test_the_real_architectures_have_our_names_and_shapes(body: dict[str, Any], num_values: int | None) -> None:
    with torch.device("meta"):
        own = build_model(model_settings("mmdet_pytorch", backbone=body, class_names=CLASS_NAMES)).state_dict()
    weights = to_mmdetection(own)
    assert num_values in (None, sum(tensor.numel() for tensor in weights.values()))
    for layout in (weights, to_mmdetection_1x(own)):
        tensors = convert(layout)
        told = conventions(Source(Path("nowhere/x.pth"), layout), 80, structure_of(tensors))
        settings = overlay(structure_of(tensors, "frozen_bn"), told.differences)
        with torch.device("meta"):
            rebuilt = build_model(model_settings(told.preset, class_names=CLASS_NAMES, **settings)).state_dict()
        assert {name: tensor.shape for name, tensor in tensors.items()} == {n: t.shape for n, t in rebuilt.items()}
        assert (told.class_names, told.assumptions[-1]) == (CLASS_NAMES, "the class names of COCO")
