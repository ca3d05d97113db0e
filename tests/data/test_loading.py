import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn.data.loading import Batch, CopyPaste, training_batches
from maskrcnn.data.transforms import ColourJitter, HorizontalFlip, RandomCrop, Sample, Scale
from maskrcnn.model.preprocess import Resize
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

TRANSFORMS = [Scale(0.5, 1.5, Resize().pixels), RandomCrop(16, 16), HorizontalFlip(), ColourJitter()]


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
        extra = {"place": torch.arange(number) + 10 * index}
        targets = Targets(boxes, torch.zeros(number, dtype=torch.int64), masks, torch.zeros(0, 4), extra)
        image = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        return Sample(image, targets, f"{index}.png", index)


def assert_same(a: list[Batch], b: list[Batch]) -> None:
    assert len(a) == len(b)
    for one, two in zip(a, b, strict=True):
        assert one.file_names == two.file_names
        assert one.seeds == two.seeds
        for image, other in zip(one.images, two.images, strict=True):
            assert torch.equal(image, other)
        for targets, other in zip(one.targets, two.targets, strict=True):
            assert torch.equal(targets.boxes, other.boxes)
            assert targets.extra.keys() == other.extra.keys() == {"place"}
            assert torch.equal(targets.extra["place"], other.extra["place"])
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory is for GPUs, and there is none")
def test_what_workers_make_for_a_gpu_lies_in_pinned_memory():
    whole = list(training_batches(Squares(5), TRANSFORMS, 2, 1, 0, 2, workers=0))
    batches = list(training_batches(Squares(5), TRANSFORMS, 2, 1, 0, 2, workers=1))
    assert_same(whole, batches)
    for one in batches:
        assert all(image.is_pinned() for image in one.images)
        for targets in one.targets:
            masks = targets.masks
            for tensor in (targets.boxes, targets.labels, masks.pixels, masks.offsets, masks.windows, masks.to_source):
                assert tensor.is_pinned() or tensor.numel() == 0


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
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 2 processes, got 3"):
        training_batches(Squares(5), [], 3, 0, 0, 1, workers=0, share=(0, 2))


def test_processes_share_a_batch():
    def run(share: tuple[int, int]) -> list[Batch]:
        return list(training_batches(Squares(7), TRANSFORMS, 4, 0, 1, 3, workers=0, share=share))

    for whole, first, second in zip(run((0, 1)), run((0, 2)), run((1, 2)), strict=True):
        assert_same(whole.split(2), [first, second])


def test_a_batch_is_split_without_losing_an_image():
    (batch,) = training_batches(Squares(7), [], 5, 0, 0, 1, workers=0)
    parts = batch.split(3)
    assert [len(part) for part in parts] == [1, 2, 2]
    assert [name for part in parts for name in part.file_names] == batch.file_names
    assert [len(part) for part in batch.split(9)] == [1] * 5


def test_images_are_repeated_as_often_as_asked():
    # 0.png once, 1.png twice, 2.png once or twice in an epoch: 4.5 images on average.
    repeats = np.array([1.0, 2.0, 1.5])
    batches = training_batches(Squares(3), [RandomCrop(8, 8)], 1, 0, 0, 450, workers=0, repeats=repeats)
    names = [batch.file_names[0] for batch in batches]
    assert names.count("0.png") == pytest.approx(100, abs=3)
    assert names.count("1.png") == pytest.approx(200, abs=6)
    assert names.count("2.png") == pytest.approx(150, abs=12)


def test_copies_in_an_epoch_are_augmented_differently():
    batches = training_batches(Squares(1), [RandomCrop(8, 8)], 3, 0, 0, 1, workers=0, repeats=np.array([3.0]))
    images = next(batches).images
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_a_run_with_repeats_can_be_resumed():
    def run(start_step: int, num_steps: int) -> list[Batch]:
        repeats = np.array([1.0, 2.6, 1.3, 1.0])
        return list(training_batches(Squares(4), TRANSFORMS, 3, 5, start_step, num_steps, 0, repeats=repeats))

    assert_same(run(0, 8)[3:], run(3, 5))


def test_objects_are_pasted_with_the_given_probability():
    def num_objects(p: float) -> int:
        paste = CopyPaste(p)
        batches = training_batches(Squares(6), [], 6, 0, 0, 20, workers=0, copy_paste=paste)
        return sum(len(targets) for batch in batches for targets in batch.targets)

    assert num_objects(0.0) == 20 * (0 + 1 + 2) * 2
    assert num_objects(1.0) != num_objects(0.0)


KILLED_WITH_WORKERS = """
import os, signal, sys
import numpy as np
import torch
from maskrcnn.data.loading import training_batches
from maskrcnn.data.transforms import Sample
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

class Blank:
    def __len__(self):
        return 4

    def load(self, index):
        no_boxes, no_labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
        nothing = Targets(no_boxes, no_labels, MaskCrops.from_bitmaps([]), no_boxes)
        return Sample(np.zeros((8, 8, 3), np.uint8), nothing, "blank.png", 1)

if __name__ == "__main__":
    torch.multiprocessing.set_start_method(sys.argv[1])
    batches = training_batches(Blank(), [], 2, 0, 0, 1000, 2)
    next(batches)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")
@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])  # Linux starts by a fork server from 3.14 on
def test_workers_give_batches_and_end_with_a_killed_parent(start_method: str, tmp_path: Path):
    """They hold the pipe open as long as they live, so that reading it to its end waits for them."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED_WITH_WORKERS)
    process = subprocess.Popen(
        [sys.executable, str(script), start_method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == -9, said.decode()
