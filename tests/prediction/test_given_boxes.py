"""Masks for given boxes: those of the network where the boxes are its own, in the order they were given."""

from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn.checkpoints.checkpoint import save_checkpoint
from maskrcnn.prediction.predictor import Predictor
from tests.tiny import scene, tiny_model, tiny_settings

IMAGE, _ = scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))


@pytest.fixture(scope="module", params=["maskrcnn", "matterport"])
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    path: Path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, tiny_model(request.param).state_dict(), tiny_settings(request.param), {})
    return Predictor(path, score=0.0, device="cpu")


def test_its_own_boxes_give_its_own_masks(predictor: Predictor):
    found = predictor(IMAGE)
    order = torch.arange(len(found) - 1, -1, -1)
    again = predictor.masks_for(IMAGE, found.boxes[order], found.labels[order])
    assert torch.equal(again.boxes, found.boxes[order])
    assert torch.equal(again.labels, found.labels[order])
    # Boxes that were clipped or rounded at the image differ a little from those the network saw.
    assert (again.mask_probs - found.mask_probs[order]).abs().max() < 0.05
    assert len(found) > 5


def test_the_best_class_of_the_box_head_where_none_is_given(predictor: Predictor):
    boxes = [[8, 8, 32, 32], [36.0, 30, 60, 54]]
    found = predictor.masks_for(IMAGE, boxes)
    for label, name in enumerate(found.class_names):
        other = predictor.masks_for(IMAGE, boxes, [name, label])
        assert other.labels.tolist() == [label, label]
        assert (other.scores <= found.scores + 1e-6).all()


def test_several_images_and_none_at_all(predictor: Predictor):
    boxes = np.array([[8, 8, 32, 32]])
    one, two = predictor.masks_for([IMAGE, IMAGE[:50]], [boxes, np.zeros((0, 4))])
    assert torch.equal(one.mask_probs, predictor.masks_for(IMAGE, boxes).mask_probs)
    assert (len(one), len(two)) == (1, 0)
    assert two.image_size == (50, 80)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[8, 8, 8, 32]], r"box 0 \(x0 y0 x1 y1 = 8 8 8 32\) is empty: expected x0 < x1 and y0 < y1"),
        ([[8, 8, 9, 9], [70, 8, 90, 32]], r"box 1 \(.*\) leaves the image of 80 x 64 px"),
        ([[80, 8, 80.5, 9]], r"box 0 \(.*\) lies outside the image"),
        ([[np.nan, 8, 9, 9]], r"box 0 \(.*\) is not finite"),
        ([[8, 8, 9]], r"boxes: expected \(N, 4\)"),
    ],
)
def test_boxes_that_cannot_be(predictor: Predictor, boxes: list, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        predictor.masks_for(IMAGE, boxes)


def test_labels_that_cannot_be(predictor: Predictor):
    boxes = [[8, 8, 32, 32]]
    for labels, sentence in (
        (["sqare"], "labels: no class 'sqare'; did you mean square?"),
        ([2], "labels: expected 0 to 1, got 2 to 2"),
        ([0, 1], "labels: expected one for each of 1 boxes, got 2"),
    ):
        with pytest.raises(ValueError, match=sentence):
            predictor.masks_for(IMAGE, boxes, labels)
    with pytest.raises(ValueError, match="expected boxes and labels for 2 images, got 1 and 2"):
        predictor.masks_for([IMAGE, IMAGE], [boxes])
