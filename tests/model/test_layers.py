"""Norms and the convolution unit."""

import pytest
import torch
from torch import nn

from maskrcnn.model.layers import ConvNorm, FrozenBatchNorm, build_norm, conv_stack


def filled_norm(eps: float) -> tuple[FrozenBatchNorm, nn.BatchNorm2d]:
    """A frozen and a plain batch norm with the same numbers, none of them trivial."""
    frozen, plain = FrozenBatchNorm(5, eps), nn.BatchNorm2d(5, eps)
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = torch.rand(5) + 0.5
        getattr(frozen, name).copy_(value)
        getattr(plain, name).data.copy_(value)
    return frozen, plain


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.0])
def test_frozen_batch_norm_is_batch_norm_in_eval_mode(eps: float, device: torch.device):
    frozen, plain = filled_norm(eps)
    x = torch.randn(2, 5, 3, 4)
    expected = (x - frozen.running_mean.view(5, 1, 1)) / (frozen.running_var.view(5, 1, 1) + eps).sqrt()
    expected = expected * frozen.weight.view(5, 1, 1) + frozen.bias.view(5, 1, 1)
    frozen.train()
    torch.testing.assert_close(frozen.to(device)(x.to(device)).cpu(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.eval()(x), expected, rtol=1e-4, atol=1e-5)


def test_frozen_batch_norm_never_changes():
    frozen, _ = filled_norm(1e-5)
    before = {name: tensor.clone() for name, tensor in frozen.state_dict().items()}
    frozen.train()(torch.randn(4, 5, 6, 6, requires_grad=True)).sum().backward()
    assert not list(frozen.parameters())
    for name, tensor in frozen.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_fresh_norm_changes_nothing_and_a_fresh_bias_is_nothing():
    x = torch.randn(2, 5, 3, 4)
    assert torch.equal(FrozenBatchNorm(5, eps=0.0)(x), x)
    conv = ConvNorm(3, 32, 3, norm="none").conv
    assert conv.bias is not None
    assert torch.equal(conv.bias, torch.zeros(32))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("none", nn.Identity), ("frozen_bn", FrozenBatchNorm), ("bn", nn.BatchNorm2d), ("gn", nn.GroupNorm)],
)
def test_norms_by_name(kind, expected: type[nn.Module]):
    norm = build_norm(kind, 64, 0.25)
    assert type(norm) is expected
    assert getattr(norm, "eps", 0.25) == 0.25


def test_group_norm_needs_whole_groups():
    with pytest.raises(ValueError, match="multiple of 32 channels, got 48"):
        build_norm("gn", 48)


@pytest.mark.parametrize(
    ("norm", "bias", "has_bias"),
    [("none", None, True), ("bn", None, False), ("gn", None, False), ("bn", True, True), ("none", False, False)],
)
def test_a_norm_takes_the_place_of_the_bias(norm, bias: bool | None, has_bias: bool):
    assert (ConvNorm(3, 32, 3, norm=norm, bias=bias).conv.bias is not None) == has_bias


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize(("stride", "size"), [(1, (9, 12)), (2, (5, 6))])  # an odd side is rounded up
def test_a_convolution_keeps_the_size_up_to_its_stride(kernel: int, stride: int, size: tuple[int, int]):
    assert ConvNorm(3, 4, kernel, stride=stride)(torch.zeros(1, 3, 9, 12)).shape[-2:] == size


def test_relu_can_be_left_out():
    x = torch.randn(1, 3, 8, 8)
    assert ConvNorm(3, 4, 3)(x).min() == 0
    assert ConvNorm(3, 4, 3, relu=False)(x).min() < 0


@pytest.mark.parametrize("num", [0, 1, 3])
def test_conv_stack(num: int):
    stack = conv_stack(6, 32, num, "gn", 0.5)
    assert stack(torch.zeros(2, 6, 4, 4)).shape == (2, 32 if num else 6, 4, 4)
    norms = [module for module in stack.modules() if isinstance(module, nn.GroupNorm)]
    assert [norm.eps for norm in norms] == [0.5] * num


@pytest.mark.parametrize("bias", [True, False])
def test_a_frozen_norm_in_the_weights_is_the_norm_behind_the_convolution(bias: bool):
    layer = ConvNorm(3, 5, 3, norm="frozen_bn", bias=bias, relu=False)
    layer.norm, _ = filled_norm(1e-5)
    gradients = []
    x = torch.randn(2, 3, 6, 7, requires_grad=True)
    for y in (layer(x), layer.norm(layer.conv(x))):
        gradients.append(torch.autograd.grad((y**2).sum(), [x, *layer.conv.parameters()]))
    torch.testing.assert_close(layer(x), layer.norm(layer.conv(x)), rtol=1e-4, atol=1e-5)
    for folded, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-3)
