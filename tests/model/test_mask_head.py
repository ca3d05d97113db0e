"""Mask head: shapes, the class that is read, and its loss on paper."""

import math

import pytest
import torch
from torch import nn

from maskrcnn.model.mask_head import MaskHead, mask_loss


@pytest.mark.parametrize("norm", ["none", "bn", "gn", "frozen_bn"])
@pytest.mark.parametrize(("convs", "channels"), [(0, 24), (2, 32)])
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_shapes(norm, convs: int, channels: int, class_agnostic: bool):
    head = MaskHead(8, 5, convs=convs, channels=channels, norm=norm, norm_eps=0.5, class_agnostic=class_agnostic)
    for num_regions in (0, 3):
        logits = head(torch.randn(num_regions, 8, 14, 14))
        assert logits.shape == (num_regions, 1 if class_agnostic else 5, 28, 28)
        assert logits.dtype == torch.float32
        assert head.of_labels(logits, torch.arange(num_regions)).shape == (num_regions, 28, 28)
    assert all(getattr(part, "eps", 0.5) == 0.5 for part in head.modules())


def test_every_region_is_read_as_its_own_class():
    logits = torch.arange(6.0).view(2, 3, 1, 1)  # region 0 has 0 1 2, region 1 has 3 4 5
    assert MaskHead(8, 3, channels=8).of_labels(logits, torch.tensor([2, 0])).flatten().tolist() == [2, 3]
    agnostic = MaskHead(8, 3, channels=8, class_agnostic=True)
    assert agnostic.of_labels(logits[:, :1], torch.tensor([2, 0])).flatten().tolist() == [0, 3]


def test_only_the_own_class_is_trained():
    head = MaskHead(4, 3, convs=0, channels=4)
    mask_loss(head.of_labels(head(torch.rand(2, 4, 2, 2)), torch.tensor([1, 1])), torch.ones(2, 4, 4)).backward()
    assert head.logits.bias is not None
    assert head.logits.bias.grad is not None
    assert [bool(g) for g in head.logits.bias.grad] == [False, True, False]


def test_the_deconvolution_does_not_mix_neighbours():
    # A 2x2 deconvolution of stride 2 turns every cell into four; with weights of one they all have its value.
    head = MaskHead(1, 1, convs=0, channels=1)
    nn.init.ones_(head.deconv.weight)
    nn.init.ones_(head.logits.weight)
    cells = torch.tensor([[1.0, 2], [3, 4]])
    assert torch.equal(head(cells[None, None])[0, 0], cells.repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_loss_on_paper():
    undecided = torch.zeros(3, 4, 4)
    assert mask_loss(undecided, torch.ones(3, 4, 4)).item() == pytest.approx(math.log(2))
    half_right = torch.tensor([[[30.0, -30.0]]])
    assert mask_loss(half_right, torch.ones(1, 1, 2)).item() == pytest.approx(15)
    assert mask_loss(undecided[:0], undecided[:0]).item() == 0
