from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
import torch

from maskrcnn.data.loading import Batch, training_batches
from maskrcnn.data.transforms import ColourJitter, HorizontalFlip, RandomCrop, Sample, Scale
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

TRANSFORMS = [Scale(0.5, 1.5), RandomCrop(16, 16), HorizontalFlip(), ColourJitter()]


@dataclass(frozen=True)
class Squares:
    """Image i holds i % 3 squares."""

    length: int
    broken: int = -1

    def __len__(self) -> int:
        return self.length

    def load(self, index: int, /) -> Sample:
        if index == self.broken:
            raise ValueError(f"image {index} is broken")
        number = index % 3
        boxes = torch.tensor([[4.0 * g, 4.0, 4.0 * g + 3, 7.0] for g in range(number)]).reshape(-1, 4)
        masks = MaskCrops.from_bitmaps([(4 * g, 4, np.ones((3, 3))) for g in range(number)])
        targets = Targets(boxes, torch.zeros(number, dtype=torch.int64), masks, torch.zeros(0, 4))
        image = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        return Sample(image, targets, f"{index}.png", index)


def assert_same(a: list[Batch], b: list[Batch]) -> None:
    assert len(a) == len(b)
    for one, two in zip(a, b, strict=True):
        assert one.file_names == two.file_names
        for image, other in zip(one.images, two.images, strict=True):
            assert torch.equal(image, other)
        for targets, other in zip(one.targets, two.targets, strict=True):
            assert torch.equal(targets.boxes, other.boxes)
            assert torch.equal(targets.masks.pixels, other.masks.pixels)
            assert torch.equal(targets.masks.to_source, other.masks.to_source)


def test_batches():
    batches = list(training_batches(Squares(7), TRANSFORMS, 3, seed=0, start_step=0, num_steps=5, workers=0))
    assert len(batches) == 5
    for batch in batches:
        assert len(batch) == len(batch.targets) == len(batch.file_names) == 3
        for image in batch.images:
            assert (image.dtype, image.shape[0]) == (torch.uint8, 3)
            assert image.is_contiguous()
    # 15 images are two epochs of 7 and one more: every image twice in the first 14.
    names = [name for batch in batches for name in batch.file_names]
    assert sorted(names[:7]) == sorted(names[7:14]) == [f"{i}.png" for i in range(7)]
    assert names[:7] != names[7:14]


def test_a_resumed_run_sees_the_same_data():
    def run(start_step: int, num_steps: int) -> list[Batch]:
        return list(training_batches(Squares(7), TRANSFORMS, 3, 5, start_step, num_steps, workers=0))

    assert_same(run(0, 8)[3:], run(3, 5))


def test_workers_change_nothing():
    def run(workers: int) -> list[Batch]:
        return list(training_batches(Squares(5), TRANSFORMS, 2, 1, 2, 6, workers))

    assert_same(run(0), run(2))


def test_seeds_and_epochs_differ():
    def first_images(seed: int, start_step: int) -> torch.Tensor:
        (batch,) = training_batches(Squares(1), [RandomCrop(8, 8)], 1, seed, start_step, 1, workers=0)
        return batch.images[0]

    first = first_images(0, 0)
    assert not torch.equal(first, first_images(1, 0))
    assert not torch.equal(first, first_images(0, 1))  # with one image, each step is an epoch


def test_more_images_in_a_batch_than_in_the_data():
    (batch,) = training_batches(Squares(2), [], 5, 0, 0, 1, workers=0)
    assert sorted(batch.file_names[:4]) == ["0.png", "0.png", "1.png", "1.png"]


def test_nothing_is_loaded_ahead_in_this_process():
    batches = training_batches(Squares(4, broken=0), [], 4, 0, 0, 10**9, workers=0)
    with pytest.raises(ValueError, match="image 0 is broken"):
        list(islice(batches, 1))


def test_an_error_in_a_worker_arrives_here():
    with pytest.raises(ValueError, match="image 2 is broken"):
        list(training_batches(Squares(4, broken=2), [], 4, 0, 0, 1, workers=1))


def test_bad_arguments():
    with pytest.raises(ValueError, match="no images"):
        training_batches(Squares(0), [], 1, 0, 0, 1, workers=0)
    with pytest.raises(ValueError, match="batch_size"):
        training_batches(Squares(1), [], 0, 0, 0, 1, workers=0)
