"""Objects of one image over another: pixels, masks, boxes and labels stay together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskrcnn.data.copy_paste import paste_objects
from maskrcnn.data.transforms import HorizontalFlip, Sample, Scale
from maskrcnn.model.preprocess import Resize
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets


class All:
    """A generator by which every object is pasted, or none."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, size: int) -> np.ndarray:
        return np.full(size, self.value)


EVERY, NONE = All(0.0), All(1.0)


def sample(rectangles: list[tuple[int, int, int, int]], colour: int, size: tuple[int, int] = (40, 50)) -> Sample:
    """Rectangles x0 y0 x1 y1 of `colour`; their labels count from 0."""
    image = np.full((*size, 3), 10, np.uint8)
    for x0, y0, x1, y1 in rectangles:
        image[y0:y1, x0:x1] = colour
    masks = MaskCrops.from_bitmaps([(x0, y0, np.ones((y1 - y0, x1 - x0))) for x0, y0, x1, y1 in rectangles])
    boxes = torch.tensor(rectangles, dtype=torch.float32).reshape(-1, 4)
    return Sample(image, Targets(boxes, torch.arange(len(rectangles)), masks, torch.zeros(0, 4)), "a.png", 1)


def dense(targets: Targets, size: tuple[int, int]) -> np.ndarray:
    """(G, H, W) bool, read pixel by pixel."""
    side = max(size)
    box = torch.tensor([[0.0, 0.0, side, side]]).expand(len(targets), 4)
    masks = targets.masks.sample(box, torch.arange(len(targets)), size=side)
    return masks[:, : size[0], : size[1]].numpy() > 0.5


def test_an_object_hides_what_lies_below():
    # The right half of a square of 20 px is hidden by one that is pasted.
    below, above = sample([(5, 5, 25, 25)], 100), sample([(15, 0, 40, 30)], 200)
    result = paste_objects(below, above, EVERY)  # pyright: ignore[reportArgumentType]
    assert result.targets.boxes.tolist() == [[5, 5, 15, 25], [15, 0, 40, 30]]
    assert result.targets.labels.tolist() == [0, 0]
    assert (result.image[0:30, 15:40] == 200).all()
    assert (result.image[5:25, 5:15] == 100).all()
    masks = dense(result.targets, (40, 50))
    assert masks.sum(axis=(1, 2)).tolist() == [10 * 20, 25 * 30]
    assert not (masks[0] & masks[1]).any()
    assert (below.image[5:25, 5:25] == 100).all()  # the input is as it was


def test_what_is_wholly_hidden_goes():
    result = paste_objects(sample([(16, 4, 30, 20)], 100), sample([(15, 0, 40, 30)], 200), EVERY)  # pyright: ignore
    assert result.targets.boxes.tolist() == [[15, 0, 40, 30]]


def test_nothing_chosen_changes_nothing():
    below = sample([(5, 5, 25, 25)], 100)
    assert paste_objects(below, sample([(15, 0, 40, 30)], 200), NONE) is below  # pyright: ignore[reportArgumentType]
    assert paste_objects(below, sample([], 200), EVERY) is below  # pyright: ignore[reportArgumentType]


def test_onto_an_image_without_objects():
    result = paste_objects(sample([], 0), sample([(15, 0, 40, 30)], 200), EVERY)  # pyright: ignore[reportArgumentType]
    assert result.targets.boxes.tolist() == [[15, 0, 40, 30]]


def test_a_smaller_image_takes_what_fits():
    result = paste_objects(sample([], 0, (20, 30)), sample([(15, 0, 40, 30)], 200), EVERY)  # pyright: ignore
    assert result.image.shape == (20, 30, 3)
    assert result.targets.boxes.tolist() == [[15, 0, 30, 20]]
    below = sample([], 0, (20, 30))
    for outside in ((35, 0, 45, 10), (0, 25, 10, 35)):
        assert paste_objects(below, sample([outside], 200), EVERY) is below  # pyright: ignore[reportArgumentType]
    result = paste_objects(sample([(0, 0, 9, 9)], 7), sample([(35, 0, 45, 10), (2, 2, 4, 4)], 200, (40, 50)), EVERY)  # pyright: ignore
    assert result.targets.boxes.tolist() == [[0, 0, 9, 9], [35, 0, 45, 10], [2, 2, 4, 4]]


@pytest.mark.parametrize("seed", range(5))
def test_masks_agree_with_the_pixels_after_other_augmentations(seed: int):
    images = [sample([(5, 5, 25, 25), (30, 8, 44, 36)], 100), sample([(15, 0, 40, 30), (2, 31, 20, 39)], 200)]
    for transform in (Scale(0.7, 1.8, Resize().pixels), HorizontalFlip(1.0)):
        images = [transform(image, np.random.default_rng(seed)) for image in images]
    result = paste_objects(images[0], images[1], EVERY)  # pyright: ignore[reportArgumentType]
    size = result.image.shape[0], result.image.shape[1]
    for mask, box in zip(dense(result.targets, size), result.targets.boxes.tolist(), strict=True):
        ys, xs = mask.nonzero()
        assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == box
        inner = mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
        assert (result.image[inner] > 50).mean() > 0.97  # edges are blended with the background


def test_extra_fields_come_along():
    def tracked(rectangles: list[tuple[int, int, int, int]], first: int) -> Sample:
        one = sample(rectangles, 100)
        return replace(one, targets=replace(one.targets, extra={"track": torch.arange(len(rectangles)) + first}))

    below = tracked([(16, 4, 30, 20), (0, 0, 9, 9)], 0)  # the first is hidden
    result = paste_objects(below, tracked([(15, 0, 40, 30)], 5), EVERY)  # pyright: ignore[reportArgumentType]
    assert result.targets.extra["track"].tolist() == [1, 5]


def test_crowds_stay_where_they_are_and_do_not_come_along():
    # The crowd of the other image is not pasted: its objects are, and none of them is part of a crowd.
    own, others = torch.tensor([[0.0, 0, 12, 9], [30, 20, 50, 40]]), torch.tensor([[1.0, 1, 9, 9]])
    below, above = sample([(5, 5, 25, 25)], 100), sample([(15, 0, 40, 30)], 200)
    below = replace(below, targets=replace(below.targets, ignore_boxes=own))
    above = replace(above, targets=replace(above.targets, ignore_boxes=others))
    result = paste_objects(below, above, EVERY)  # pyright: ignore[reportArgumentType]
    assert len(result.targets) == 2
    assert result.targets.ignore_boxes.tolist() == own.tolist()
