"""The paper's other bodies: C4, whose fifth stage works on regions, and the dilated C5; and pyramids on any strides."""

import pytest
import torch
from torch import nn

from maskrcnn.config import PRESETS, ModelSettings, model_settings, validate
from maskrcnn.model.build import build_model
from maskrcnn.model.fpn import FPN
from maskrcnn.model.roi_pooler import RoIPooler
from tests.tiny import CLASS_NAMES, batch, scene

TINY = {
    "resize": {"mode": "scale", "interpolation": "pil"},
    "backbone": {"depth": 50, "stem_channels": 8, "norm": "bn", "stride_in_1x1": True},
    "anchors": {"sizes": [[16, 32, 64]]},
    "rpn": {"pre_nms_top_n": 100, "post_nms_top_n": 30, "train_pre_nms_top_n": 100, "train_post_nms_top_n": 30},
    "detection": {"score_threshold": 0.0},
}


@pytest.mark.parametrize(("preset", "mask_size"), [("detectron2_c4", 14), ("detectron2_dc5", 28)])
def test_it_learns_and_detects(preset: str, mask_size: int):
    torch.manual_seed(0)
    model = build_model(model_settings(preset, "test", class_names=CLASS_NAMES, **TINY))
    image, targets = scene([("square", 10, 12, 30), ("disc", 52, 50, 36)])
    losses = model(batch(model, [image]), [targets])
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    with torch.inference_mode():
        (found,) = model.eval().detect(batch(model, [image]))
    assert found.mask_probs.shape == (len(found), mask_size, mask_size)
    assert len(found) > 0


def test_both_heads_of_c4_share_the_fifth_stage():
    model = build_model(model_settings("detectron2_c4", "test", class_names=CLASS_NAMES, **TINY))
    stage = model.box_head.pooler.stage
    assert stage is model.mask_head.pooler.stage is model.box_head.stage
    assert len(model.backbone.stages) == 3
    names = [name for name in model.state_dict() if "conv3.conv.weight" in name]
    assert sum(name.startswith("box_head.stage.") for name in names) == 3
    assert not any(name.startswith("mask_head.") for name in names)
    # Regions of 14 cells leave it with 7, and the box head reads their mean.
    levels, boxes = [torch.rand(1, 128, 8, 8)], torch.tensor([[0.0, 0, 64, 64]])
    pooled = model.box_head.pooler(levels, boxes, torch.zeros(1).long(), (128, 128), 14)
    assert pooled.shape == (1, 256, 7, 7)
    logits, _ = model.eval().box_head(pooled)
    torch.testing.assert_close(logits, model.box_head.class_logits(pooled.mean(dim=(2, 3))))


def test_the_dilated_stage_sees_as_far_at_half_the_stride():
    model = build_model(model_settings("detectron2_dc5", "test", class_names=CLASS_NAMES, **TINY))
    convs = [m for m in model.backbone.stages[3].modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [conv.dilation for conv in convs] == [(2, 2)] * 3
    c4, c5 = model.backbone(torch.zeros(1, 3, 64, 96))[-2:]
    assert c4.shape[-2:] == c5.shape[-2:] == (4, 6)


def test_a_pyramid_on_any_strides():
    fpn = FPN((8, 16, 24), 12, "none", (8, 16, 32))
    assert (fpn.strides, fpn.roi_strides) == ((8, 16, 32, 64), (8, 16, 32))
    levels = fpn([torch.zeros(1, c, 96 // s, 64 // s) for c, s in zip((8, 16, 24), (8, 16, 32), strict=True)])
    assert [tuple(level.shape[-2:]) for level in levels] == [(12, 8), (6, 4), (3, 2), (2, 1)]
    # What would be read from P2, which is not there, is read from P3.
    boxes = torch.tensor([[0.0, 0, side, side] for side in (10, 111, 112, 224, 448, 5000)])
    assert RoIPooler(strides=fpn.roi_strides).level_of(boxes, (999, 999)).tolist() == [0, 0, 0, 1, 2, 2]


def test_heads_have_an_eps_of_their_own_and_old_settings_mean_the_bodys():
    own = model_settings(backbone={"norm_eps": 1e-3}, mask_head={"norm_eps": 1e-4})
    assert (own.box_head.norm_eps, own.mask_head.norm_eps) == (1e-3, 1e-4)
    old = own.model_dump()
    for head in ("box_head", "mask_head"):
        del old[head]["norm_eps"]
    del old["neck"], old["backbone"]["kind"]
    read = validate(ModelSettings, old, "an old file")
    assert (read.box_head.norm_eps, read.mask_head.norm_eps) == (1e-3, 1e-3)
    assert (read.neck, read.backbone) == ("fpn", own.backbone)
    assert model_settings(box_head={"norm_eps": 1e-3}).backbone == model_settings().backbone
    model = build_model(model_settings(box_head={"convs": 1, "conv_norm": "bn", "norm_eps": 1e-3}))
    assert {m.eps for m in model.box_head.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    assert {m.eps for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_loss_of_the_rpns_boxes(preset: str):
    # detectron2's MODEL.RPN.SMOOTH_L1_BETA is 0, and mmdetection 2 and 3 have L1Loss there.
    is_l1 = preset.startswith(("detectron2", "mmdet"))
    assert model_settings(preset).rpn.smooth_l1_beta == (0.0 if is_l1 else 1 / 9)
