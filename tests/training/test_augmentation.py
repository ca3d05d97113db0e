"""What the settings ask for is what training sees, and training sees pictures as prediction does."""

from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.config import AugmentSettings
from maskrcnn.data.loading import Transform
from maskrcnn.data.transforms import Sample
from maskrcnn.model.preprocess import Resize
from maskrcnn.training.augmentation import build_transforms
from tests.tiny import scene

PLAIN = {"horizontal_flip": 0.0}


def textured() -> Sample:
    """Noise in which every way of resizing leaves another picture."""
    _, targets = scene([("disc", 20, 20, 30)], (96, 120))
    return Sample(np.random.default_rng(0).integers(0, 256, (96, 120, 3), dtype=np.uint8), targets, "noise.png", 1)


def seen(transforms: list[Transform]) -> torch.Tensor:
    """(3, h, w) float32."""
    sample = textured()
    for transform in transforms:
        sample = transform(sample, np.random.default_rng(0))
    return torch.from_numpy(sample.image.copy()).permute(2, 0, 1).float()


@pytest.mark.parametrize("edge", [37, 130])
@pytest.mark.parametrize("interpolation", ["pil", "cv2", "torch", "skimage"])
@pytest.mark.parametrize("how", [{}, {"shortest_edges": "here"}])
def test_training_resizes_as_prediction_does(interpolation: Any, edge: int, how: dict[str, Any]):
    resize = Resize(shortest_edge=edge, interpolation=interpolation)
    augment = AugmentSettings.model_validate(PLAIN | ({"shortest_edges": (edge,)} if how else {}))
    # Batches hold whole numbers: "torch", which works on floats, may be half a level away.
    difference = (seen(build_transforms(augment, resize)) - resize(textured().image)).abs()
    assert float(difference.max()) <= (0.5 if interpolation == "torch" else 0.0)


@pytest.mark.parametrize("changes", [{"jitter": (0.5, 0.5), "crop": 60}, {"resize": False, "scale": (0.4, 0.4)}])
def test_so_do_random_sizes(changes: dict[str, Any]):
    pictures = {}
    for interpolation in ("pil", "cv2", "torch", "skimage"):
        resize = Resize("scale", scale=0.25 if "jitter" in changes else 0.4, interpolation=interpolation)
        pictures[interpolation] = seen(build_transforms(AugmentSettings.model_validate(PLAIN | changes), resize))
        difference = (pictures[interpolation] - resize(textured().image)).abs()
        assert float(difference.max()) <= (0.5 if interpolation == "torch" else 0.0)
    assert float((pictures["pil"] - pictures["cv2"]).abs().mean()) > 10  # the case can tell them apart


NOTHING = {"horizontal_flip": 0.0, "resize": False}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"resize": True}, ["Resize"]),
        ({"resize": True, "shortest_edges": (40, 60)}, ["ResizeToOneOf"]),
        ({"resize": True, "jitter": (0.5, 2.0), "crop": 60}, ["LargeScaleJitter", "RandomCrop"]),
        ({"scale": (0.5, 2.0)}, ["Scale"]),
        ({"crop": 60}, ["RandomCrop"]),
        ({"horizontal_flip": 0.5}, ["HorizontalFlip"]),
        ({"vertical_flip": 0.5}, ["VerticalFlip"]),
        ({"rotate90": True}, ["Rotate90"]),
        *(({name: 0.1}, ["ColourJitter"]) for name in ("brightness", "contrast", "saturation", "hue")),
        ({"grey": 0.2}, ["Grey"]),
        ({"invert": 0.3}, ["Invert"]),
    ],
)
def test_every_setting_is_one_augmentation(changes: dict[str, Any], expected: list[str]):
    transforms = build_transforms(AugmentSettings.model_validate(NOTHING | changes), Resize(shortest_edge=50))
    assert [type(transform).__name__ for transform in transforms] == expected
    numbers = [value for value in changes.values() if isinstance(value, float)]
    assert all(number in vars(transforms[0]).values() for number in numbers)


def test_several_shortest_edges_need_a_model_that_resizes_by_one():
    augment = AugmentSettings.model_validate(NOTHING | {"resize": True, "shortest_edges": (40, 60)})
    with pytest.raises(ValueError, match=r"is for resize\.mode shortest_edge, the model has scale"):
        build_transforms(augment, Resize("scale", scale=1.0))
