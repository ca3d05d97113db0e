"""Folded batch norms: the same function, and left alone where it would not be."""

from typing import Any

import pytest
import torch
from torch import nn

from maskrcnn.model.folding import fold_batch_norms
from maskrcnn.model.layers import ConvNorm, FrozenBatchNorm
from tests.conditioning import condition
from tests.tiny import batch, scene, tiny_model

NORMS = (FrozenBatchNorm, nn.BatchNorm1d, nn.BatchNorm2d)


def norms(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, NORMS)]


def layer(variance: float, eps: float, weight: float = 2.0) -> ConvNorm:
    """A 1x1 convolution by `weight` under a norm of mean 1, weight 3 and bias 5."""
    conv = ConvNorm(1, 1, 1, norm="frozen_bn", eps=eps, relu=False)
    conv.conv.weight.data.fill_(weight)
    norm = conv.norm
    assert isinstance(norm, FrozenBatchNorm)
    for values, value in ((norm.running_mean, 1), (norm.running_var, variance), (norm.weight, 3), (norm.bias, 5)):
        values.fill_(value)
    return conv


def test_on_paper():
    # (2 x - 1) / 2 * 3 + 5 = 3 x + 3.5
    conv = layer(variance=4.0, eps=0.0)
    fold_batch_norms(conv)
    assert isinstance(conv.norm, nn.Identity)
    assert conv.conv.bias is not None
    assert (conv.conv.weight.item(), conv.conv.bias.item()) == (3.0, 3.5)


@pytest.mark.parametrize(
    "differences",
    [
        {"backbone": {"norm": "frozen_bn"}, "fpn": {"norm": "none"}},
        {"backbone": {"norm": "bn", "depth": 50}, "fpn": {"norm": "bn"}},
        {"backbone": {"norm": "frozen_bn", "conv_bias": True}, "box_head": {"fc_norm": "frozen_bn", "convs": 1}},
    ],
)
def test_a_whole_model_finds_the_same(differences: dict[str, dict[str, Any]]):
    model = tiny_model(**differences).eval()
    image, _ = scene([("disc", 10, 12, 30), ("square", 50, 40, 28)])
    condition(model, [image], background_logit=0.0)
    pixels = batch(model, [image])
    with torch.inference_mode():
        dense, found = model.dense(pixels.pixels), model.detect(pixels)[0]
    assert norms(model)
    fold_batch_norms(model)
    assert not norms(model)
    with torch.inference_mode():
        folded_dense, folded = model.dense(pixels.pixels), model.detect(pixels)[0]
    for before, after in zip(dense.levels + dense.deltas, folded_dense.levels + folded_dense.deltas, strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=2e-5 * before.abs().max().item())
    assert len(found) > 5
    assert torch.equal(folded.labels, found.labels)
    torch.testing.assert_close(folded.boxes, found.boxes, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(folded.scores, found.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folded.mask_probs, found.mask_probs, rtol=1e-4, atol=1e-4)


def test_a_norm_that_divides_by_zero_stays():
    conv = layer(variance=0.0, eps=0.0)
    fold_batch_norms(conv)
    assert isinstance(conv.norm, FrozenBatchNorm)
    assert conv.conv.weight.item() == 2.0


def test_a_norm_too_large_for_half_precision_stays():
    for dtype, stays in ((torch.float16, True), (torch.bfloat16, False), (torch.float32, False)):
        conv = layer(variance=1e-10, eps=0.0)  # 2 * 3 / 1e-5 is beyond 65504
        fold_batch_norms(conv, dtype)
        assert isinstance(conv.norm, FrozenBatchNorm) == stays


def test_group_norm_depends_on_the_picture_and_stays():
    model = tiny_model()
    fold_batch_norms(model)
    assert sum(isinstance(module, nn.GroupNorm) for module in model.modules()) > 20
