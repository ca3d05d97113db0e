"""Boxes between an image's own pixels and the padded frame of its batch."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

Place = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # size, original size, origin
FRAME = (64, 128)


def batch_of(*places: Place) -> ImageBatch:
    sizes, originals, origins = zip(*places, strict=True)
    return ImageBatch(torch.zeros(len(places), 3, *FRAME), sizes, originals, origins)


def targets_of(boxes: Sequence[Sequence[float]], crowds: Sequence[Sequence[float]] = ()) -> Targets:
    return Targets(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(len(boxes), dtype=torch.int64),
        MaskCrops.from_bitmaps([(0, 0, np.ones((1, 1)))] * len(boxes)),
        torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )


def test_to_the_frame_on_paper() -> None:
    batch = batch_of(((40, 60), (80, 120), (0, 0)), ((40, 60), (40, 60), (12, 34)))
    assert (len(batch), batch.padded_size) == (2, FRAME)
    given = [targets_of([[1, 2, 5, 9]], [[0, 0, 3, 3]]) for _ in range(2)]
    first, second = batch.to_padded(given)
    assert first is given[0]  # nothing to move
    assert second.boxes.tolist() == [[35, 14, 39, 21]]  # x by 34, y by 12
    assert second.ignore_boxes.tolist() == [[34, 12, 37, 15]]


def test_boxes_that_end_on_their_last_pixel() -> None:
    # The second is one pixel wide, which leaves it no inclusive width: half a pixel stands for it.
    batch = batch_of(((40, 60), (40, 60), (0, 0)))
    (moved,) = batch.to_padded([targets_of([[1, 2, 5, 9], [3, 3, 4, 8]], [[0, 0, 3, 3]])], edge=1.0)
    assert moved.boxes.tolist() == [[1, 2, 4, 8], [3, 3, 3.5, 7]]
    assert moved.ignore_boxes.tolist() == [[0, 0, 2, 2]]


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_back_to_the_original(edge: float) -> None:
    # Twice as high and three times as wide as the network saw it, with its first pixel at y 4, x 8.
    batch = batch_of(((40, 60), (40, 60), (0, 0)), ((20, 30), (40, 90), (4, 8)))
    if edge == 0:
        boxes = torch.tensor([[8.0, 4, 38, 24], [18, 9, 28, 14], [0, 0, 128, 64]])
        expected = [[0, 0, 90, 40], [30, 10, 60, 20], [0, 0, 90, 40]]
    else:  # indices of the first and of the last pixel
        boxes = torch.tensor([[8.0, 4, 37, 23], [8, 4, 8, 4], [0, 0, 127, 63]])
        expected = [[0, 0, 90, 40], [0, 0, 1, 1], [0, 0, 90, 40]]
    found = batch.to_original(boxes, torch.ones(3, dtype=torch.int64), edge)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    assert batch.to_original(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), edge).shape == (0, 4)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_there_and_back_is_the_identity(edge: float) -> None:
    batch = batch_of(((40, 60), (40, 60), (0, 0)), ((40, 60), (40, 60), (11, 5)))
    boxes = torch.tensor([[0.0, 0, 60, 40], [3, 4, 30, 20]])
    for i, moved in enumerate(batch.to_padded([targets_of(boxes.tolist())] * 2, edge)):
        torch.testing.assert_close(batch.to_original(moved.boxes, torch.full((2,), i), edge), boxes)
