"""Bodies of other packages keep the contract: maps, strides, channels, freezing."""

import importlib.util
import sys

import pytest
import torch

from maskrcnn.config import model_settings
from maskrcnn.model.adapted_body import TimmBody, TorchvisionBody
from maskrcnn.model.backbone import Backbone
from maskrcnn.model.build import build_model
from maskrcnn.model.layers import FrozenBatchNorm
from maskrcnn.model.resnet import ResNet
from tests.tiny import batch, scene

NAMES = ["convnext_tiny", "swin_t", "efficientnet_b0", "mobilenet_v3_large"]
CHANNELS = {  # of the last layer of each stride, from the papers' tables
    "convnext_tiny": (96, 192, 384, 768),
    "swin_t": (96, 192, 384, 768),
    "efficientnet_b0": (24, 40, 112, 1280),
    "mobilenet_v3_large": (24, 40, 112, 960),
}


def assert_keeps_the_contract(body: Backbone, size: tuple[int, int] = (64, 96)) -> None:
    maps = body.eval()(torch.zeros(2, 3, *size))
    expected = [(2, c, size[0] // s, size[1] // s) for c, s in zip(body.channels, body.strides, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected
    own = {id(p) for p in body.parameters()}
    of_parts = [id(p) for part in body.parts() for p in part.parameters()]
    assert len(of_parts) == len(set(of_parts))
    assert set(of_parts) <= own


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_torchvisions_bodies(name: str):
    body = TorchvisionBody(name)
    assert body.channels == CHANNELS[name]
    assert body.strides == (4, 8, 16, 32)
    assert len(body.parts()) == 5
    assert_keeps_the_contract(body)


@torch.no_grad()
def test_our_own_body_keeps_the_same_contract():
    assert_keeps_the_contract(ResNet(18, stem_channels=8))
    dilated = ResNet(50, stem_channels=8, dilates_last=True)
    assert dilated.strides == (4, 8, 16, 16)
    assert_keeps_the_contract(dilated)


@pytest.mark.parametrize("num", [0, 2, 5])
def test_frozen_parts_are_not_trained(num: int):
    body = TorchvisionBody("mobilenet_v3_small", frozen_stages=num).train()
    for i, part in enumerate(body.parts()):
        assert all(p.requires_grad == (i >= num) for p in part.parameters())
        assert all(module.training == (i >= num) for module in part.modules() if list(module.buffers(recurse=False)))


def test_by_default_all_is_trained():
    bodies = [TorchvisionBody("mobilenet_v3_small"), ResNet(18, stem_channels=8)]
    if importlib.util.find_spec("timm") is not None:
        bodies.append(TimmBody("mobilenetv3_small_050"))
    for body in bodies:
        assert all(parameter.requires_grad for parameter in body.parameters())


def test_frozen_batch_norms():
    body = TorchvisionBody("mobilenet_v3_small", norm="frozen_bn")
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in body.modules())
    assert any(isinstance(m, FrozenBatchNorm) and m.eps == 1e-3 for m in body.modules())
    with pytest.raises(ValueError, match="convnext_tiny has no batch norms"):
        TorchvisionBody("convnext_tiny", norm="frozen_bn")


def test_a_whole_network_on_such_a_body_learns_and_detects():
    settings = model_settings(
        class_names=("square", "disc"),
        resize={"mode": "scale"},
        backbone={"name": "mobilenet_v3_small"},
        fpn={"channels": 32},
        anchors={"sizes": (8, 16, 32, 64, 128)},
        box_head={"fc_channels": 32},
        mask_head={"convs": 1, "channels": 32},
        roi={"proposals_per_image": 16},
    )
    model = build_model(settings)
    image, targets = scene([("square", 10, 12, 30), ("disc", 52, 50, 36)])
    losses = model(batch(model, [image, image]), [targets, targets])
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    with torch.inference_mode():
        (found,) = model.eval().detect(batch(model, [image]))
    assert found.image_size == (96, 96)


@pytest.mark.extra
@torch.no_grad()
def test_timm():
    pytest.importorskip("timm", reason="needs the extra timm")
    body = TimmBody("resnet18")
    assert body.strides == (4, 8, 16, 32)  # it also has one of stride 2, which is not given
    assert body.channels == (64, 128, 256, 512)
    assert_keeps_the_contract(body)
    with pytest.raises(ValueError, match=r"backbone\.name: timm cannot make a body of 'resnet19x'"):
        TimmBody("resnet19x")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r'pip install "maskrcnn\[timm\]"'):
        TimmBody("resnet18")


@pytest.mark.extra
def test_anchors_for_other_levels_are_refused():
    pytest.importorskip("timm", reason="needs the extra timm")
    settings = model_settings(backbone={"kind": "timm", "name": "resnet18"}, anchors={"sizes": (8, 16)})
    with pytest.raises(ValueError, match=r"anchors\.sizes has 2 entries for the levels of strides 4, 8, 16, 32, 64"):
        build_model(settings)
