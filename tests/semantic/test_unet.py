"""U-Net: sizes of every kind, the paper's number of parameters, and every part of it at work."""

import pytest
import torch
from torch import Tensor, nn

from maskrcnn.model.resnet import ConvStyle, ResNet
from maskrcnn.semantic.unet import PlainEncoder, UNet


def unet(channels: int = 4, levels: int = 3, **more: float) -> UNet:
    return UNet(PlainEncoder(channels, levels), 3, channels=channels, **more)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1), (5, 70)])
def test_logits_have_the_size_of_the_input(size: tuple[int, int]):
    for net in (unet(), UNet(ResNet(18, style=ConvStyle("bn"), stem_channels=8), 3, channels=2)):
        assert net.eval()(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


def test_the_papers_network_has_the_papers_layers():
    net = UNet(PlainEncoder(64, 5, "none"), 2, channels=64, norm="none")
    assert net.strides == (8, 4, 2, 1)
    assert sum(isinstance(module, nn.Conv2d) for module in net.modules()) == 19  # with 4 up-convolutions 23, section 2
    assert sum(isinstance(module, nn.ConvTranspose2d) for module in net.modules()) == 4
    # Of a picture of three channels: by the sizes in figure 1.
    convs = 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128**2 + 128 * 256 + 256**2 + 256 * 512 + 512**2 + 512 * 1024 + 1024**2)
    convs += 9 * (1024 * 512 + 512**2 + 512 * 256 + 256**2 + 256 * 128 + 128**2 + 128 * 64 + 64**2)
    ups = 4 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 64)
    weights = sum(p.numel() for p in net.parameters() if p.ndim > 1)
    assert weights == convs + ups + 64 * 2


def test_the_tutorials_network_has_six_levels_from_eight_filters():
    assert PlainEncoder(8, 6).channels == (8, 16, 32, 64, 128, 256)
    assert UNet(PlainEncoder(8, 6), 2, channels=8).strides == (16, 8, 4, 2, 1)


@pytest.mark.parametrize("is_plain", [True, False])
def test_every_parameter_is_used(is_plain: bool):
    net = unet() if is_plain else UNet(ResNet(18, style=ConvStyle("bn"), stem_channels=8), 3, channels=2)
    net.train()(torch.randn(2, 3, 40, 40)).square().mean().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    # The branches of a ResNet begin as nothing (arXiv:1706.02677), so that their inner layers have no gradient yet.
    assert [name for name in without if ".conv1." not in name and ".conv2.conv" not in name] == []


def test_each_skip_brings_something():
    """The same coarsest map and another fine one give other logits."""
    net = unet().eval()
    maps = net.body(torch.randn(1, 3, 16, 16))

    class Given(nn.Module):
        channels, strides = net.body.channels, net.body.strides

        def __init__(self, given: list[Tensor]) -> None:
            super().__init__()
            self.given = given

        def forward(self, pixels: Tensor) -> list[Tensor]:
            return self.given

    def logits(given: list[Tensor]) -> Tensor:
        other = unet().eval()
        other.load_state_dict(net.state_dict())
        other.body = Given(given)
        return other(torch.zeros(1, 3, 16, 16))

    before = logits(maps)
    for k in range(3):
        assert not torch.equal(logits([m + (i == k) for i, m in enumerate(maps)]), before)


def test_a_body_without_a_fine_map_leaves_the_edges_to_the_picture():
    net = UNet(ResNet(18, style=ConvStyle("bn"), stem_channels=8), 2, channels=2).eval()
    assert net.full is not None
    assert unet().full is None
    assert [join[0].in_channels for join in net.joins] == [32 + 32, 16 + 16, 8 + 8, 4, 2 + 2]


def test_dropout_is_for_training():
    net, pixels = unet(dropout=0.5), torch.randn(1, 3, 16, 16)
    net.train()
    assert not torch.equal(net(pixels), net(pixels))
    net.eval()
    assert torch.equal(net(pixels), net(pixels))


def test_a_body_of_odd_strides_is_refused():
    body = PlainEncoder(4, 2)
    body.strides = (1, 3)
    with pytest.raises(ValueError, match=r"strides are powers of two, got \(1, 3\)"):
        UNet(body, 2, channels=4)
