from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.serve.corrections import AddBox, outlined
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.rle import decode


class Outlines:
    """Fills every box; notes what it looked at."""

    def __init__(self, needs_tiles: bool, probability: float = 1.0) -> None:
        self._needs_tiles, self._probability = needs_tiles, probability
        self.seen: list[tuple[tuple[int, ...], Any]] = []

    def needs_tiles(self, size: tuple[int, int]) -> bool:
        return self._needs_tiles

    def masks_for(self, image: np.ndarray, boxes: Any, labels: Any) -> Instances:
        self.seen.append((image.shape[:2], labels))
        mask = torch.full((1, 28, 28), self._probability)
        label = torch.tensor(labels or [0])
        given = torch.tensor(boxes, dtype=torch.float32)
        return Instances(image.shape[:2], given, label, torch.ones(1), mask, ("a", "b"), "integer")


IMAGE = np.zeros((1000, 2000, 3), np.uint8)
EXPECTED = np.zeros(IMAGE.shape[:2], bool)
EXPECTED[500:540, 900:930] = True


@pytest.mark.parametrize(("needs_tiles", "seen"), [(False, (1000, 2000)), (True, (40 + 128, 30 + 128))])
def test_a_large_picture_is_looked_at_around_the_box(needs_tiles: bool, seen: tuple[int, int]):
    predictor = Outlines(needs_tiles)
    asked = AddBox(what="add-box", box=(900, 500, 930, 540), label=1)
    label, rle = outlined(predictor, IMAGE, asked)  # pyright: ignore[reportArgumentType]
    assert label == 1
    assert predictor.seen == [(seen, [1])]
    np.testing.assert_array_equal(decode(rle), EXPECTED)


def test_a_box_that_leaves_the_picture_is_cut_and_a_class_may_be_left_to_the_network():
    predictor = Outlines(True)
    asked = AddBox(what="add-box", box=(1990, 990, 2500, 1500))
    label, rle = outlined(predictor, IMAGE, asked)  # pyright: ignore[reportArgumentType]
    assert (label, predictor.seen[0][1]) == (0, None)
    assert decode(rle).sum() == decode(rle)[990:, 1990:].sum() == 100


def test_nothing_in_a_box_is_said():
    asked = AddBox(what="add-box", box=(900, 500, 930, 540))
    with pytest.raises(ValueError, match="the network sees no object in this box"):
        outlined(Outlines(False, 0.0), IMAGE, asked)  # pyright: ignore[reportArgumentType]
