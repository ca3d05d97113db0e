"""Maps equal torchvision's argmax pixel for pixel on the same weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from maskrcnn.semantic.network import SemanticNetwork, best_class
from maskrcnn.semantic.preprocess import Preprocess, max_input_pixels
from maskrcnn.semantic.torchvision_networks import NAMES, VOC_CLASSES, build_torchvision, name_of, num_classes_of

IMAGE = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(37, 53), (53, 37), (40, 40), (600, 7), (1, 9)])
def test_the_input_is_that_of_the_published_weights(size: tuple[int, int]):
    image = np.random.default_rng(1).integers(0, 255, (*size, 3), dtype=np.uint8)
    transform = torchvision.models.get_model_weights("fcn_resnet50")["DEFAULT"].transforms()
    assert (transform.resize_size, list(Preprocess().mean)) == ([520], transform.mean)
    transform.resize_size = [48]  # the rule is the same at a size that takes no time
    expected = transform(Image.fromarray(image))
    assert torch.equal(replace(Preprocess(), shortest_edge=48)(image), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_map_equals_torchvisions(name: str):
    torch.manual_seed(0)
    body = build_torchvision(name, 21).eval()
    assert (name_of(body.state_dict()), num_classes_of(body.state_dict())) == (name, 21)
    network = SemanticNetwork(body, VOC_CLASSES, preprocess=Preprocess(shortest_edge=64)).eval()
    with torch.inference_mode():
        theirs = body(network.preprocess(IMAGE)[None])["out"]
        found = network.segment(IMAGE, with_probs=True)
        assert found.probs is not None
        assert np.array_equal(found.probs.argmax(axis=0), theirs[0].argmax(dim=0).numpy())
        at_image = nn.functional.interpolate(theirs, size=IMAGE.shape[:2], mode="bilinear", align_corners=False)
        assert np.array_equal(found.class_idx, at_image[0].argmax(dim=0).numpy())
        as_it_is = SemanticNetwork(body, VOC_CLASSES, preprocess=Preprocess(shortest_edge=None)).eval()
        own_size = body(as_it_is.preprocess(IMAGE)[None])["out"][0].argmax(dim=0).numpy()
        assert np.array_equal(as_it_is.segment(IMAGE).class_idx, own_size)
    assert found.class_names[15] == "person"
    assert found.background == 0


def test_the_best_class_of_equals_is_the_first():
    logits = torch.zeros(3, 4, 4)
    assert best_class(logits, (9, 7)).max() == 0
    assert best_class(logits, (4, 4)).max() == 0
    logits[2, :, 2:] = 1
    assert np.array_equal(best_class(logits, (4, 8))[0], [0, 0, 0, 2, 2, 2, 2, 2])


def test_what_would_not_fit_into_memory_is_refused():
    with pytest.raises(ValueError, match=r"more than the .* million pixels that are allowed on this machine"):
        Preprocess()(np.zeros((1, max_input_pixels() // 520**2 + 520, 3), np.uint8))


def test_networks_that_are_not_known():
    with pytest.raises(ValueError, match=r"expected a semantic network out of fcn_resnet50, .*, got 'unet'"):
        build_torchvision("unet", 21)
    assert name_of({}) is None
    state = {"classifier.4.weight": torch.zeros(21, 512, 1, 1), "backbone.layer3.0.conv3.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match="the head of fcn on a body that is no ResNet of 50 or 101 layers"):
        name_of(state)
    with pytest.raises(ValueError, match=r"has the shape \(21,\), expected 4 axes"):
        num_classes_of({"classifier.4.weight": torch.zeros(21)})
