"""Semantic networks from settings, and what their settings refuse."""

import pytest
import torch
from torch.nn import functional as F

from maskrcnn.checkpoints.semantic_building import build_semantic
from maskrcnn.config import SemanticSettings, validate
from maskrcnn.config.semantic import TorchvisionSemanticSettings, UNetSettings
from maskrcnn.model.resnet import ResNet
from maskrcnn.semantic.unet import PlainEncoder, UNet
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.label_map import LabelMap
from maskrcnn.structures.targets import Targets

NAMES = {"class_names": ("sky", "road", "car")}


def built(network: dict, **more: object) -> SemanticSettings:
    return validate(SemanticSettings, {"network": network, **NAMES, **more}, "test")


def test_networks_are_told_apart_by_what_they_have():
    assert isinstance(built({}).network, UNetSettings)
    assert isinstance(built({"name": "fcn_resnet50"}).network, TorchvisionSemanticSettings)
    plain, body = (build_semantic(built({"channels": 2, **more})).body for more in ({}, {"encoder": {"depth": 18}}))
    assert isinstance(plain, UNet)
    assert isinstance(body, UNet)
    assert isinstance(plain.body, PlainEncoder)
    assert isinstance(body.body, ResNet)
    assert len(plain.strides) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": {"kind": "segnet"}}, "network: expected kind unet or torchvision, got"),
        ({"network": {"chanels": 8}}, r"unknown key network\.chanels; did you mean channels"),
        ({"network": {"levels": 20}}, r"network\.levels: expected a whole number of at most 8, got 20"),
        ({"loss": {"cross_entropy": 0}}, "loss: expected a loss with a weight above 0, got none"),
        (
            {"loss": {"class_weights": {"sky": -1}}},
            r"loss\.class_weights: expected a number of at least 0, got -1",
        ),
        ({"class_names": ("a", "a")}, "class_names must be different names"),
        ({"background": "a"}, "background is one of class_names, got 'a'"),
    ],
)
def test_what_settings_refuse(values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        validate(SemanticSettings, values, "test")


def test_fcn_learns_by_its_second_classifier_too():
    settings = built({"name": "fcn_resnet50", "auxiliary_weight": 0.25}, loss={"class_weights": {"road": 3}})
    network = build_semantic(settings, for_training=True).train()
    assert network.loss_names == ("cross_entropy", "aux_cross_entropy")
    pixels, labels = torch.randn(2, 3, 32, 32), torch.randint(3, (2, 32, 32), dtype=torch.uint8)
    maps = [Targets.empty(LabelMap.of_pixels(own.numpy())) for own in labels]
    images = ImageBatch(pixels, ((32, 32),) * 2, ((32, 32),) * 2, ((0, 0),) * 2)
    torch.manual_seed(0)  # of the dropout in its classifiers
    losses = network.losses(images, maps)
    torch.manual_seed(0)
    out = network.body(pixels)
    for name, key, weight in (("cross_entropy", "out", 1.0), ("aux_cross_entropy", "aux", 0.25)):
        expected = F.cross_entropy(out[key], labels.long(), weight=torch.tensor([1.0, 3.0, 1.0]))
        torch.testing.assert_close(losses.means[name], weight * expected)
    # For use there is none, and so no second loss.
    assert build_semantic(settings).loss_names == ("cross_entropy",)
