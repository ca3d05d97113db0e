"""Pictures on their way: read by other threads, through the network in the caller's, drawn and recorded by others."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from maskrcnn.data.images import read_image
from maskrcnn.distributed import num_cores
from maskrcnn.prediction.job_records import Records, State, state_of
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.count import count
from maskrcnn.report.double_counts import double_counts
from maskrcnn.report.draw import figure
from maskrcnn.report.export import coco_dict, write_image
from maskrcnn.structures.instances import Instances

MAX_THREADS = 4
"""Threads that read, and threads that draw: at most these, and no more than one for every two cores."""
PICTURE_BYTES = 256 << 20
"""Pictures that wait for the network, and those that wait to be drawn, take no more than this each; larger ones come
one at a time."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Picture(NamedTuple):
    file: Path
    state: State
    image: np.ndarray


def finished(
    predictor: Predictor,
    files: Sequence[Path],
    figures: Mapping[Path, Path],
    labels: Tensor,
    records: Records,
    fail: Callable[[Path, Exception], None],
) -> Generator[tuple[Path, dict[str, int]], None, None]:
    """Each file that can be read and the counts of `labels` in it, in order, when it is drawn and on record.

    Counts leave out classes of which there is none. A file with a place in `figures` is drawn there; one that cannot be
    read goes to `fail`, in the caller's thread. Closing the generator still records what went through the network.
    """
    num_threads = max(1, min(MAX_THREADS, num_cores() // 2))
    largest_bytes = 0  # of the pictures so far

    def limit() -> int:
        return min(num_threads, PICTURE_BYTES // largest_bytes) if largest_bytes else 0

    def readable() -> Iterator[_Picture]:
        nonlocal largest_bytes
        for file, picture in ahead(_read, files, readers, limit):
            if isinstance(picture, Exception):
                fail(file, picture)
                continue
            largest_bytes = max(largest_bytes, picture.image.nbytes)
            yield picture

    def finish(detected: tuple[_Picture, Instances]) -> tuple[Path, dict[str, int]]:
        (file, state, image), found = detected
        instances = found[torch.isin(found.labels, labels)]
        path = figures.get(file)
        if path is not None:
            write_image(path, figure(image, instances))
        return file, _record(records, file, state, path, instances, predictor.settings.category_ids or None)

    readers, finishers = ThreadPoolExecutor(num_threads), ThreadPoolExecutor(num_threads)
    try:
        yield from ahead(finish, _detections(predictor, readable()), finishers, limit)
    finally:
        readers.shutdown(cancel_futures=True)
        finishers.shutdown()


def _read(file: Path) -> tuple[Path, _Picture | Exception]:
    try:
        # The state before: should the file be written anew in between, the next job does it again.
        state = state_of(file) if file.exists() else []
        return file, _Picture(file, state, read_image(file))
    except (OSError, ValueError) as error:
        return file, error


def _detections(predictor: Predictor, pictures: Iterator[_Picture]) -> Iterator[tuple[_Picture, Instances]]:
    """Each picture and what is in it, a batch at a time."""
    while batch := list(islice(pictures, predictor.batch_size)):
        yield from zip(batch, predictor([picture.image for picture in batch]), strict=True)


def _record(
    records: Records,
    file: Path,
    state: State,
    path: Path | None,
    instances: Instances,
    category_ids: Sequence[int] | None,
) -> dict[str, int]:
    counts = {name: number for name, number in count(instances).items() if number}
    found: Iterable[dict] = coco_dict([(str(file), instances)], instances.class_names, category_ids)["annotations"]
    # Numbers are given when all pictures are there.
    annotations = [{key: value for key, value in one.items() if key not in ("id", "image_id")} for one in found]
    num_doubles = len(double_counts(instances))
    records.add(file, state, path, instances.image_size, counts, annotations, instances.ceilings, num_doubles)
    return counts


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], pool: ThreadPoolExecutor, limit: Callable[[], int]
) -> Iterator[Result]:
    """Results of `function` for each item, in order, made by the threads of `pool`.

    Items are taken, and results given, in the caller's thread. While the caller uses a result, or makes the next item,
    at most `limit()` others are being made or wait to be taken; with 0 nothing happens at the same time.

    Raises:
        Whatever `function` raises, when its turn comes.
    """
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        del item  # it may be a large picture, and the next is made while this frame waits
        while len(pending) > limit():
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
