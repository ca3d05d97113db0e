"""`count` and `draw` as Python users call them: with whatever a predictor takes and gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import maskrcnn
from maskrcnn.report.draw import draw as draw_array
from maskrcnn.report.draw_semantic import draw_semantic
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.semantic_map import SemanticMap
from tests.tiny import scene

PICTURE, _ = scene([("square", 8, 8, 24)], (64, 80))
FOUND = Instances(
    image_size=(64, 80),
    boxes=torch.tensor([[8.0, 8, 32, 32], [40, 20, 60, 50]]),
    labels=torch.tensor([0, 0]),
    scores=torch.tensor([0.9, 0.8]),
    mask_probs=torch.ones(2, 28, 28),
    class_names=("square", "disc"),
)


def test_every_form_of_a_picture_is_drawn_alike(tmp_path: Path) -> None:
    expected = draw_array(PICTURE, FOUND, legend=False, labels="all", colors="class", scale=2)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    tensor = torch.from_numpy(PICTURE).permute(2, 0, 1)
    for picture in (PICTURE, tmp_path / "a.png", (tmp_path / "a.png").read_bytes(), Image.fromarray(PICTURE), tensor):
        drawn = maskrcnn.draw(picture, FOUND, legend=False, labels="all", colors="class", scale=2)
        assert np.array_equal(drawn, expected)
    assert np.array_equal(maskrcnn.draw(tensor / 255, FOUND, value_range=(0, 1)), draw_array(PICTURE, FOUND))


def test_lists_give_lists() -> None:
    drawn = maskrcnn.draw([PICTURE, PICTURE], [FOUND, FOUND[:1]])
    assert np.array_equal(drawn[0], draw_array(PICTURE, FOUND))
    assert np.array_equal(drawn[1], draw_array(PICTURE, FOUND[:1]))
    assert maskrcnn.count([FOUND, FOUND[:1]]) == [{"square": 2, "disc": 0}, {"square": 1, "disc": 0}]
    assert maskrcnn.count(FOUND) == {"square": 2, "disc": 0}
    assert maskrcnn.draw([], []) == maskrcnn.count([]) == []


def test_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="as many results as images, got 1 for 2"):
        maskrcnn.draw([PICTURE, PICTURE], [FOUND])
    with pytest.raises(TypeError, match="one image and its Instances, or a list of each"):
        maskrcnn.draw(PICTURE, [FOUND])  # type: ignore[call-overload]
    for wrong in ("cells.png", ["cells.png"]):
        with pytest.raises(TypeError, match="expected Instances, as a Predictor gives for an image, got str"):
            maskrcnn.count(wrong)  # type: ignore[call-overload]


def test_a_semantic_map_is_drawn_as_the_report_draws_it():
    image = np.full((20, 30, 3), 90, np.uint8)
    found = SemanticMap(np.eye(20, 30, dtype=np.uint8), ("background", "cat"), background=0)
    assert np.array_equal(maskrcnn.draw(image, found, legend=False), draw_semantic(image, found, legend=False))
    (drawn,) = maskrcnn.draw([image], [found])
    assert (drawn[0, 0] == found.colors[1]).all()
