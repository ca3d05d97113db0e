"""The thread that owns the predictor: takes what waits, together where that is faster, and answers through futures."""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from maskrcnn.data.images import ImageError
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.structures.instances import Instances

_LOG = logging.getLogger("maskrcnn")


@dataclass(frozen=True, eq=False)
class Found:
    """A picture as it was read, and what is in it."""

    image: np.ndarray
    """RGB uint8 (H, W, 3)."""
    instances: Instances
    notes: tuple[str, ...] = ()
    """What is in the file that was not read: a sentence each."""


Read = Callable[[], tuple[np.ndarray, tuple[str, ...]]]
"""Gives a picture, RGB uint8 (H, W, 3), and what is to be said about it."""


@dataclass(frozen=True, eq=False)
class _Picture:
    """Work: find the objects in what `read` gives."""

    read: Read
    score: float
    future: Future[Found] = field(default_factory=Future)


@dataclass(frozen=True, eq=False)
class _Call:
    """Work: anything else that needs the predictor."""

    run: Callable[[Predictor], Any]
    future: Future[Any] = field(default_factory=Future)


class Engine:
    """Work for a predictor, which is for one thread at a time, from any number of threads.

    Pictures that wait go through the network together, as many as the predictor's `batch_size`. Each is read by itself,
    and where a batch fails each is tried alone, so that none fails for another.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._waiting: queue.Queue[_Picture | _Call | None] = queue.Queue()
        self._next: _Picture | _Call | None = None
        self.score_threshold = predictor.settings.detection.score_threshold
        self.num_batches = 0
        self.num_pictures = 0
        self.is_alive = True
        self._thread = threading.Thread(target=self._work, name="maskrcnn-engine", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Pieces of work that nobody has begun."""
        return self._waiting.qsize() + (self._next is not None)

    def predict(self, read: Read, score: float | None = None) -> Future[Found]:
        """Objects that score above `score`, by default what the predictor says, in the picture that `read` gives.

        The future has what `read` raises. Cancelled, it is left out if its turn has not come.
        """
        work = _Picture(read, self.score_threshold if score is None else score)
        self._waiting.put(work)
        return work.future

    def call(self, run: Callable[[Predictor], Any]) -> Future[Any]:
        """What `run` gives for the predictor, such as its `masks_for`."""
        work = _Call(run)
        self._waiting.put(work)
        return work.future

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            while (work := self._take()) is not None:
                if isinstance(work, _Call):
                    if work.future.set_running_or_notify_cancel():
                        _settle(work.future, lambda work=work: work.run(self._predictor))
                    continue
                self._find([work, *self._others_like(work)])
        finally:
            self.is_alive = False

    def _take(self) -> _Picture | _Call | None:
        work, self._next = self._next, None
        return work if work is not None else self._waiting.get()

    def _others_like(self, first: _Picture) -> list[_Picture]:
        """What waits behind `first` and can go with it; what cannot is next."""
        batch: list[_Picture] = []
        while len(batch) + 1 < self._predictor.batch_size:
            try:
                work = self._waiting.get_nowait()
            except queue.Empty:
                break
            if work is None:
                self._waiting.put(None)  # the end comes again, behind what waits
                break
            if not isinstance(work, _Picture) or work.score != first.score:
                self._next = work
                break
            batch.append(work)
        return batch

    def _find(self, batch: list[_Picture]) -> None:
        images: list[tuple[_Picture, np.ndarray, tuple[str, ...]]] = []
        for work in batch:
            if not work.future.set_running_or_notify_cancel():
                continue
            try:
                images.append((work, *work.read()))
            except Exception as error:
                work.future.set_exception(_told(error))
        if not images:
            return
        self.num_batches += 1
        self.num_pictures += len(images)
        rules = self._predictor.model.box_head.rules
        self._predictor.model.box_head.rules = replace(rules, score_threshold=images[0][0].score)
        try:
            results = self._predictor([image for _, image, _ in images])
            for (work, image, notes), instances in zip(images, results, strict=True):
                work.future.set_result(Found(image, instances, notes))
        except Exception:
            for work, image, notes in images:
                _settle(work.future, lambda image=image, notes=notes: Found(image, self._predictor(image), notes))
        finally:
            self._predictor.model.box_head.rules = rules


def _settle(future: Future[Any], run: Callable[[], Any]) -> None:
    try:
        future.set_result(run())
    except Exception as error:
        future.set_exception(_told(error))


def _told(error: Exception) -> Exception:
    """The error, written to the log where it is not one about what was sent."""
    if not isinstance(error, ImageError | ValueError):
        _LOG.error("a picture could not be processed", exc_info=error)
    return error
