"""Bodies that start from ImageNet: every published entry arrives under its name, with the published preprocessing."""

from urllib.error import URLError

import pytest
import torch
import torchvision
from torchvision.models import WeightsEnum

from maskrcnn.checkpoints.imagenet import imagenet_weights
from maskrcnn.checkpoints.transfer import settings_from, transfer
from maskrcnn.config import Config, ModelSettings, validate
from maskrcnn.model.build import build_model

SMALL = {"fpn": {"channels": 32}, "box_head": {"fc_channels": 32}, "mask_head": {"channels": 32}}
BODIES = [
    ("mobilenet_v3_small", {"name": "mobilenet_v3_small"}),
    ("convnext_tiny", {"name": "convnext_tiny"}),
    ("resnet18", {"depth": 18}),
    ("resnet50", {"depth": 50, "norm": "frozen_bn"}),
    ("resnet50", {"depth": 50, "norm": "bn"}),
]


def published(monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, torch.Tensor]:
    """What torchvision's weights enum gives from now on: random values of the published layout."""
    torch.manual_seed(7)
    state = torchvision.models.get_model(name).state_dict()
    asked = []

    def give(weights: WeightsEnum, **_: object) -> dict[str, torch.Tensor]:
        asked.append(weights.url)
        return state

    monkeypatch.setattr(WeightsEnum, "get_state_dict", give)
    return state


@pytest.mark.parametrize(("name", "body"), BODIES)
@torch.no_grad()
def test_the_body_gives_what_the_published_network_gives(name: str, body: dict, monkeypatch: pytest.MonkeyPatch):
    state = published(monkeypatch, name)
    config = validate(Config, {"model": {**SMALL, "backbone": body}}, "test")
    init = imagenet_weights(config.model)
    config, changes = settings_from(config, init)
    assert changes == ()
    model = build_model(config.model)
    told = transfer(model, config.model, init)
    assert {entry.split(".")[0] for entry in told.loaded} == {"backbone"}
    assert not any(entry.startswith("backbone.") and "norms" not in entry for entry in told.reinitialised)
    theirs = torchvision.models.get_model(name).eval()
    theirs.load_state_dict(state)
    pixels = torch.randn(1, 3, 64, 96)
    model.eval()
    if name.startswith("resnet"):
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(pixels))))
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
        torch.testing.assert_close(model.backbone(pixels)[-1], expected, rtol=1e-4, atol=1e-4)
        return
    expected, ours = theirs.features(pixels), model.backbone(pixels)[-1]
    if len(model.backbone.norms):
        expected = model.backbone.norms[-1](expected.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_the_preprocessing_is_the_published_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("maskrcnn.checkpoints.imagenet._renamed", lambda *_: {})
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: {})
    grey = {"pixels": {"order": "bgr", "mean": (1, 2, 3)}}

    def pixels(name: str) -> tuple:
        settings = validate(ModelSettings, {**SMALL, **grey, "backbone": {"name": name}}, "test")
        told = imagenet_weights(settings).settings.pixels
        return told.order, told.mean, told.std

    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    assert pixels("mobilenet_v3_small") == ("rgb", mean, std)


def test_what_cannot_be_had_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    settings = validate(ModelSettings, {**SMALL, "backbone": {"depth": 18, "norm": "gn"}}, "test")
    with pytest.raises(ValueError, match="init_from imagenet: nobody publishes weights of this body"):
        imagenet_weights(settings)

    def no_network(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", no_network)
    settings = validate(ModelSettings, {**SMALL, "backbone": {"depth": 18}}, "test")
    with pytest.raises(ValueError, match=r"the weights of resnet18 cannot be had from https://.*no network"):
        imagenet_weights(settings)


def test_weights_of_another_layout_are_refused(monkeypatch: pytest.MonkeyPatch):
    published(monkeypatch, "mobilenet_v3_large")
    settings = validate(ModelSettings, {**SMALL, "backbone": {"name": "mobilenet_v3_small"}}, "test")
    with pytest.raises(ValueError, match=r"torchvision/mobilenet_v3_small: expected features\.\d"):
        imagenet_weights(settings)
