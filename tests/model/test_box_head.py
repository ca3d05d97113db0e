"""Box head: shapes of its variants, and its loss on paper."""

import math

import pytest
import torch
from torch import nn

from maskrcnn.model.box_head import BoxHead, classification_loss


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_agnostic": True},
        {"convs": 4, "conv_channels": 32, "conv_norm": "gn", "fcs": 1},
        {"convs": 1, "conv_channels": 24, "conv_norm": "bn"},
        {"fc_norm": "bn", "norm_eps": 0.5},
        {"fc_norm": "frozen_bn"},
        {"resolution": 5, "fcs": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("num_regions", [0, 3])
def test_shapes(options: dict, num_regions: int, device: torch.device):
    head = BoxHead(8, 4, fc_channels=16, **options).to(device)
    side = options.get("resolution", 7)
    logits, deltas = head(torch.randn(num_regions, 8, side, side, device=device))
    assert logits.shape == (num_regions, 5)  # the background is one more
    assert deltas.shape == (num_regions, 1 if options.get("class_agnostic") else 4, 4)
    assert logits.dtype == deltas.dtype == torch.float32
    num_layers = sum(isinstance(part, nn.Linear) for part in head.fcs)
    assert num_layers == options.get("fcs", 2)


def test_norms_have_the_given_eps():
    head = BoxHead(8, 4, convs=2, conv_channels=8, conv_norm="bn", fc_channels=16, fc_norm="bn", norm_eps=0.5)
    norms = [part for part in head.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [norm.eps for norm in norms] == [0.5] * 4


@pytest.mark.parametrize("fc_norm", ["none", "bn"])
def test_no_region_leaves_no_trace(fc_norm):
    head = BoxHead(8, 4, convs=1, conv_channels=8, conv_norm="bn", fc_channels=16, fc_norm=fc_norm).train()
    before = {k: v.clone() for k, v in head.state_dict().items() if "running" in k}
    logits, deltas = head(torch.zeros(0, 8, 7, 7))
    (classification_loss(logits, torch.zeros(0, dtype=torch.int64)) + deltas.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert all(torch.equal(head.state_dict()[k], v) for k, v in before.items())


def test_deltas_are_ordered_by_class():
    head = BoxHead(2, 3, resolution=1, fc_channels=4)
    nn.init.zeros_(head.deltas.weight)
    head.deltas.bias.data = torch.arange(12.0)
    assert head(torch.zeros(1, 2, 1, 1))[1][0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_loss_on_paper():
    # Two undecided regions of three classes: log 3 each, whatever they are; a sure and right one costs nothing.
    undecided = torch.zeros(2, 3)
    assert classification_loss(undecided, torch.tensor([0, 2])).item() == pytest.approx(math.log(3))
    sure = torch.tensor([[0.0, 0, 60]])
    assert classification_loss(sure, torch.tensor([2])).item() == pytest.approx(0, abs=1e-6)
    assert classification_loss(sure, torch.tensor([0])).item() == pytest.approx(60)
    assert classification_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).item() == 0
