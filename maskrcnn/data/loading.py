"""Training batches as a pure function of (seed, step), made in worker processes (B images in a batch)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from maskrcnn.data.transforms import Sample
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

Transform = Callable[[Sample, np.random.Generator], Sample]


class ImageDataset(Protocol):
    """What loading needs of a data set."""

    def __len__(self) -> int: ...

    def load(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class Batch:
    """B images, each of its own size, not yet padded."""

    images: list[Tensor]
    """(3, H, W) uint8 RGB each."""
    targets: list[Targets]
    file_names: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def pin_memory(self) -> "Batch":
        return Batch(
            [image.pin_memory() for image in self.images],
            [targets.pin_memory() for targets in self.targets],
            self.file_names,
        )


def training_batches(
    dataset: ImageDataset,
    transforms: Sequence[Transform],
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    workers: int,
) -> Iterator[Batch]:
    """Batches of the steps start_step .. start_step + num_steps - 1.

    Step s holds images s * batch_size and following of an endless row of epochs. The order within an epoch depends on
    (seed, epoch) only, the augmentation on (seed, epoch, image index) only: a resumed run, and one with another number
    of workers, sees exactly the same data. `seed` is at least 0; `workers` = 0 loads in this process.

    Raises ValueError for an empty data set or a batch size below 1; what loading an image raises is raised here.
    """
    if len(dataset) == 0:
        raise ValueError("the data set has no images to train on")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    augmented = _Augmented(dataset, tuple(transforms), seed)
    schedule = _schedule(len(dataset), batch_size, seed, start_step, num_steps)
    if workers == 0:
        return (_unpack(_pack([augmented[key] for key in keys])) for keys in schedule)
    loader = DataLoader(
        augmented,  # pyright: ignore[reportArgumentType]
        batch_sampler=schedule,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        collate_fn=_pack,
        worker_init_fn=_start_worker,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own, or starting would take a number from the random state of training
    )
    return map(_unpack, loader)


@dataclass(frozen=True)
class _Augmented:
    """Samples by (epoch, image index)."""

    dataset: ImageDataset
    transforms: tuple[Transform, ...]
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Sample | Exception:
        """An image that cannot be used comes back as its error: raised in a worker, it would arrive as a traceback."""
        epoch, index = key
        try:
            sample = self.dataset.load(index)
        except (OSError, ValueError) as error:
            return error
        rng = np.random.default_rng((self.seed, epoch, index))
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


def _schedule(
    num_images: int, batch_size: int, seed: int, start_step: int, num_steps: int
) -> Iterator[list[tuple[int, int]]]:
    """(epoch, image index) of the images of each step."""
    known_epoch, order = -1, np.zeros(0, np.int64)
    for step in range(start_step, start_step + num_steps):
        keys = []
        for position in range(step * batch_size, (step + 1) * batch_size):
            epoch = position // num_images
            if epoch != known_epoch:
                known_epoch = epoch
                # No image has the index num_images, so no augmentation draws the same numbers.
                order = np.random.default_rng((seed, epoch, num_images)).permutation(num_images)
            keys.append((epoch, int(order[position % num_images])))
        yield keys


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism


Packed = tuple[list[Tensor], list[tuple[np.ndarray, ...]], list[str]]


def _pack(loaded: list[Sample | Exception]) -> Packed | Exception:
    """What a worker sends. Images go through shared memory; the many small tensors of the targets go as numpy arrays,
    by value, because each shared tensor holds a file descriptor open and systems allow about a thousand."""
    samples = []
    for sample in loaded:
        if isinstance(sample, Exception):
            return sample
        samples.append(sample)
    images = [torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1))) for sample in samples]
    targets = []
    for sample in samples:
        masks, t = sample.targets.masks, sample.targets
        tensors = (t.boxes, t.labels, t.ignore_boxes, masks.pixels, masks.offsets, masks.windows, masks.to_source)
        targets.append(tuple(tensor.numpy() for tensor in tensors))
    return images, targets, [sample.file_name for sample in samples]


def _unpack(packed: Packed | Exception) -> Batch:
    if isinstance(packed, Exception):
        try:
            raise packed
        finally:
            del packed  # else error and frame hold each other, and the workers with them until they are collected
    images, arrays, file_names = packed
    targets = []
    for one in arrays:
        boxes, labels, ignore_boxes, *masks = map(torch.from_numpy, one)
        targets.append(Targets(boxes, labels, MaskCrops(*masks), ignore_boxes))
    return Batch(list(images), targets, list(file_names))
