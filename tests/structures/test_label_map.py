"""Labels of pixels, and what becomes of them when an image is turned, cut and resized."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn.data.copy_paste import paste_objects
from maskrcnn.data.transforms import HorizontalFlip, RandomCrop, Resize, Rotate90, Sample, VerticalFlip
from maskrcnn.structures.label_map import THINGS, VOID_LABEL, LabelMap
from maskrcnn.structures.targets import Targets
from tests.tiny import scene

RNG = np.random.default_rng(0)


def labelled(size: tuple[int, int] = (40, 60)) -> tuple[Sample, np.ndarray]:
    """A picture whose red channel is the labels, and these."""
    labels = np.random.default_rng(3).integers(0, 5, size).astype(np.uint8)
    labels[:, -3:] = VOID_LABEL
    targets = replace(Targets.empty(), label_map=LabelMap.of_pixels(labels))
    return Sample(np.repeat(labels[..., None], 3, axis=2), targets, "a.png", 1), labels


def sampled(sample: Sample) -> np.ndarray:
    assert sample.targets.label_map is not None
    return sample.targets.label_map.sample((sample.image.shape[0], sample.image.shape[1])).numpy()


def test_unmoved_it_is_itself():
    sample, labels = labelled()
    assert np.array_equal(sampled(sample), labels)


@pytest.mark.parametrize("transform", [HorizontalFlip(1.0), VerticalFlip(1.0), Rotate90(), RandomCrop(17, 23)])
def test_labels_go_where_the_pixels_go(transform):
    sample, _ = labelled()
    for _ in range(4):
        sample = transform(sample, RNG)
        assert np.array_equal(sampled(sample), sample.image[..., 0])


@pytest.mark.parametrize("size", [(80, 120), (48, 40), (16, 24)])  # no centre falls between two pixels
def test_resized_as_the_nearest_pixel(size: tuple[int, int]):
    sample, labels = labelled()
    nearest = np.asarray(Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST))
    resized = Resize(lambda _: size, lambda image, to: np.zeros((*to, 3), np.uint8))(sample, RNG)
    assert np.array_equal(sampled(resized), nearest)


def test_outside_of_the_image_is_void():
    labels = LabelMap.of_pixels(np.ones((3, 4), np.uint8))
    assert labels.sample((4, 5)).tolist() == [[1, 1, 1, 1, VOID_LABEL]] * 3 + [[VOID_LABEL] * 5]
    assert LabelMap.of_pixels(np.ones((0, 4), np.uint8)).sample((1, 2)).tolist() == [[VOID_LABEL] * 2]


def test_pasted_objects_are_things():
    sample, labels = labelled((96, 96))
    image, targets = scene([("square", 10, 12, 30)])
    other = Sample(image, targets, "b.png", 2)
    flipped = HorizontalFlip(1.0)(sample, RNG)
    for seed in range(8):  # a half of the objects is pasted
        pasted = paste_objects(flipped, other, np.random.default_rng(seed))
        expected = labels[:, ::-1].astype(int)
        if len(pasted.targets):
            expected[12:42, 10:40] = THINGS
            assert np.array_equal(sampled(pasted), expected)
            return
    raise AssertionError("nothing was ever pasted")


def test_targets_keep_it():
    sample, labels = labelled()
    targets = sample.targets
    for kept in (targets[torch.zeros(0, dtype=torch.bool)], targets.to("cpu"), Targets.concatenate([targets, targets])):
        assert kept.label_map is not None
        assert np.array_equal(kept.label_map.pixels.numpy(), labels)


def test_what_is_no_map_is_refused():
    with pytest.raises(ValueError, match=r"got .* of torch\.int64"):
        LabelMap(torch.zeros(3, 4, dtype=torch.int64), torch.eye(3)[:2])
    with pytest.raises(ValueError, match=r"\(2, 3\) of float32"):
        LabelMap(torch.zeros(3, 4, dtype=torch.uint8), torch.eye(3))
