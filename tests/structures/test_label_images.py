"""Numbers of objects into masks of pixels, as numpy compares them."""

import numpy as np
import pytest

from maskrcnn.structures.label_images import instances_of_numbers, runs_of_numbers


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint16])
def test_masks_are_where_the_numbers_are(dtype: type):
    numbers = np.random.default_rng(0).integers(0, 5, (23, 17)).astype(dtype)
    found = instances_of_numbers(numbers, [1, 0, 1, 0], ("a", "b"))
    assert np.array_equal(found.bitmaps(), numbers[None] == np.arange(1, 5)[:, None, None])
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.scores.tolist() == [1.0] * 4
    assert found.areas().tolist() == [int((numbers == n).sum()) for n in range(1, 5)]


def test_boxes_are_tight_and_a_number_may_be_missing():
    numbers = np.zeros((6, 8), np.int32)
    numbers[1:3, 2:5] = 3  # touches the one below it
    numbers[3:6, 2:8] = 1
    found = instances_of_numbers(numbers, [0, 0, 0], ("a",), scores=[0.5, 0.4, 0.3])
    assert found.boxes.tolist() == [[2, 3, 8, 6], [0, 0, 0, 0], [2, 1, 5, 3]]
    assert found[[2]].bitmaps()[0].sum() == 6
    assert found.scores.tolist() == pytest.approx([0.5, 0.4, 0.3])


def test_nothing():
    assert len(instances_of_numbers(np.zeros((4, 5), np.int32), [], ("a",))) == 0
    assert runs_of_numbers(np.zeros((0, 5), np.int32), 0).image_size == (0, 5)


def test_a_number_without_a_label_is_refused():
    with pytest.raises(ValueError, match="expected a label for each of 3 objects, got 2"):
        instances_of_numbers(np.full((2, 2), 3, np.int32), [0, 0], ("a",))
