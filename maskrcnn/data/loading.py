"""Training batches as a pure function of (seed, step), made in worker processes (B images in a batch)."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from maskrcnn.data.copy_paste import paste_objects
from maskrcnn.data.transforms import Sample
from maskrcnn.structures.label_map import LabelMap
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

PR_SET_PDEATHSIG = 1  # Linux: the signal that a process is sent when its parent dies

Transform = Callable[[Sample, np.random.Generator], Sample]
Key = tuple[int, int, int]  # epoch, image index, and which of its copies in the epoch


class ImageDataset(Protocol):
    """What loading needs of a data set."""

    def __len__(self) -> int: ...

    def load(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class CopyPaste:
    """With probability `p`, objects of another image are pasted over one; see `paste_objects`."""

    p: float
    min_visible_px: float = 1.0


@dataclass(frozen=True)
class Batch:
    """B images, each of its own size, not yet padded."""

    images: list[Tensor]
    """(3, H, W) uint8 RGB each."""
    targets: list[Targets]
    file_names: list[str]
    seeds: list[int]
    """For what training draws at random about each image: the same for an image of an epoch, whoever loads it."""

    def __len__(self) -> int:
        return len(self.images)

    def split(self, num_parts: int) -> "list[Batch]":
        """Parts of equal size, as nearly as it goes; fewer where there are fewer images."""
        bounds = [i * len(self) // num_parts for i in range(num_parts + 1)]
        cuts = [slice(low, high) for low, high in pairwise(bounds) if high > low]
        return [Batch(self.images[c], self.targets[c], self.file_names[c], self.seeds[c]) for c in cuts]

    def pin_memory(self) -> "Batch":
        return Batch(
            [image.pin_memory() for image in self.images],
            [targets.pin_memory() for targets in self.targets],
            self.file_names,
            self.seeds,
        )


def training_batches(
    dataset: ImageDataset,
    transforms: Sequence[Transform],
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    workers: int,
    share: tuple[int, int] = (0, 1),
    copy_paste: CopyPaste | None = None,
    repeats: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Batches of the steps start_step .. start_step + num_steps - 1.

    Step s holds images s * batch_size and following of an endless row of epochs. The order within an epoch depends on
    (seed, epoch) only, the augmentation on (seed, epoch, image index, copy) only: a resumed run, and one with another
    number of workers, sees exactly the same data. `seed` is at least 0; `workers` = 0 loads in this process. `share`
    (i, n) gives the i-th of n equal parts of every batch, for process i of n. `repeats` (I,) is how often each image is
    seen in an epoch on average, at least 1.

    Raises ValueError for an empty data set or a batch size that is not n or a multiple of it; what loading an image
    raises is raised here.
    """
    if len(dataset) == 0:
        raise ValueError("the data set has no images to train on")
    part, num_parts = share
    if batch_size < 1 or batch_size % num_parts:
        raise ValueError(f"batch_size must be a multiple of the {num_parts} processes, got {batch_size}")
    own = slice(part * batch_size // num_parts, (part + 1) * batch_size // num_parts)
    augmented = _Augmented(dataset, tuple(transforms), seed, copy_paste)
    repeats = np.ones(len(dataset)) if repeats is None else repeats
    schedule = (keys[own] for keys in _schedule(repeats, batch_size, seed, start_step, num_steps))
    if workers == 0:
        return (_unpack(_pack([augmented[key] for key in keys])) for keys in schedule)
    loader = DataLoader(
        augmented,  # pyright: ignore[reportArgumentType]
        batch_sampler=schedule,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        collate_fn=_pack,
        worker_init_fn=partial(_start_worker, os.getpid()),
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own, or starting would take a number from the random state of training
    )
    return map(_unpack, loader)


@dataclass(frozen=True)
class _Augmented:
    """Samples by key."""

    dataset: ImageDataset
    transforms: tuple[Transform, ...]
    seed: int
    copy_paste: CopyPaste | None

    def __getitem__(self, key: Key) -> tuple[Sample, int] | Exception:
        """The image, and a seed for what follows.

        One that cannot be used comes back as its error: raised in a worker, it would arrive as a traceback.
        """
        rng = np.random.default_rng((self.seed, *key))
        try:
            sample = self._augmented(key[1], rng)
            if self.copy_paste is not None and rng.random() < self.copy_paste.p:
                other = self._augmented(int(rng.integers(len(self.dataset))), rng)
                sample = paste_objects(sample, other, rng, self.copy_paste.min_visible_px)
        except (OSError, ValueError) as error:
            return error
        return sample, int(rng.integers(2**63))

    def _augmented(self, index: int, rng: np.random.Generator) -> Sample:
        sample = self.dataset.load(index)
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


def _schedule(repeats: np.ndarray, batch_size: int, seed: int, start_step: int, num_steps: int) -> Iterator[list[Key]]:
    """Keys of the images of each step, epoch after epoch without a gap."""
    wanted = range(start_step * batch_size, (start_step + num_steps) * batch_size)
    epoch, first, keys = 0, 0, []
    while first < wanted.stop:
        indices, copies = _epoch(repeats, np.random.default_rng((seed, epoch, len(repeats))))
        for position in range(max(first, wanted.start), min(first + len(indices), wanted.stop)):
            keys.append((epoch, int(indices[position - first]), int(copies[position - first])))
            if len(keys) == batch_size:
                yield keys
                keys = []
        epoch, first = epoch + 1, first + len(indices)


def _epoch(repeats: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image indices in the order of an epoch, and which copy of its image each is; parts are rounded at random."""
    num_images = len(repeats)
    if (repeats == 1).all():
        return rng.permutation(num_images), np.zeros(num_images, np.int64)
    nums = np.floor(repeats).astype(np.int64) + (rng.random(num_images) < repeats % 1)
    indices = np.arange(num_images).repeat(nums)
    copies = np.arange(len(indices)) - (nums.cumsum() - nums).repeat(nums)
    order = rng.permutation(len(indices))
    return indices[order], copies[order]


def _start_worker(parent: int, worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the workers when it is done
    _end_with_parent(parent)


def _end_with_parent(parent: int) -> None:
    """A process that was killed, for memory perhaps, leaves no workers behind."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # Not where the parent has ended already, or where a fork server started this, which outlives the parent.
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) == 0 and os.getppid() == parent:
            return
    process = multiprocessing.parent_process()
    assert process is not None

    def watch() -> None:
        process.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class _Packed:
    """What a worker sends. Images go through shared memory; the many small tensors of the targets go as numpy arrays,
    by value, because each shared tensor holds a file descriptor open and systems allow about a thousand."""

    images: list[Tensor]
    targets: list[tuple[list[np.ndarray], dict[str, np.ndarray], list[np.ndarray]]]
    file_names: list[str]
    seeds: list[int]

    def unpack(self) -> Batch:
        targets = []
        for arrays, extra_arrays, label_map in self.targets:
            boxes, labels, ignore_boxes, *masks = map(torch.from_numpy, arrays)
            extra = {name: torch.from_numpy(values) for name, values in extra_arrays.items()}
            labels_of_pixels = LabelMap(*map(torch.from_numpy, label_map)) if label_map else None
            targets.append(Targets(boxes, labels, MaskCrops(*masks), ignore_boxes, extra, labels_of_pixels))
        return Batch(self.images, targets, self.file_names, self.seeds)

    def pin_memory(self) -> Batch:
        """What the loader's own thread does for a GPU, so that copies to it need not wait for one another."""
        return self.unpack().pin_memory()


def _pack(loaded: list[tuple[Sample, int] | Exception]) -> _Packed | Exception:
    samples, seeds = [], []
    for one in loaded:
        if isinstance(one, Exception):
            return one
        samples.append(one[0])
        seeds.append(one[1])
    images = [torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1))) for sample in samples]
    targets = []
    for sample in samples:
        masks, t = sample.targets.masks, sample.targets
        tensors = (t.boxes, t.labels, t.ignore_boxes, masks.pixels, masks.offsets, masks.windows, masks.to_source)
        extra = {name: values.numpy() for name, values in t.extra.items()}
        label_map = [t.label_map.pixels.numpy(), t.label_map.to_source.numpy()] if t.label_map is not None else []
        targets.append(([tensor.numpy() for tensor in tensors], extra, label_map))
    return _Packed(images, targets, [sample.file_name for sample in samples], seeds)


def _unpack(loaded: _Packed | Batch | Exception) -> Batch:
    if isinstance(loaded, Exception):
        try:
            raise loaded
        finally:
            del loaded  # else error and frame hold each other, and the workers with them until they are collected
    return loaded.unpack() if isinstance(loaded, _Packed) else loaded
