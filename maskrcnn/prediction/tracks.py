"""A film as frames with the objects in them, each of which keeps its number: decoding, network, tracking."""

import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import torch

from maskrcnn.data.films.frame import Choice, Film, Frame, chosen_frames
from maskrcnn.data.films.live import LiveFrames
from maskrcnn.data.films.opening import FilmLike, open_film
from maskrcnn.data.films.series import SERIES_RATE
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.prediction.predictor import COUNTING_SCORE, Predictor
from maskrcnn.structures.instances import Instances
from maskrcnn.tracking.lines import TRACK_IDS
from maskrcnn.tracking.tracker import NO_TRACK, Tracker, TrackingRules

DOUBTFUL_SHARE = 0.5
"""Of the predictor's score threshold: from there on detections can go on with a track that sure ones began."""
FRAMES_AHEAD = 4
"""Decoded before the network asks for them, at most."""

Item = TypeVar("Item")
FilmPredictor = Predictor | MethodPredictor


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame of a film and the objects of tracks in it."""

    number: int
    """In the film, from 0."""
    time_s: float
    """Seconds from the start of the film."""
    image: np.ndarray
    """RGB uint8 (H, W, 3)."""
    instances: Instances
    """With `extra["track_ids"]`, int64 (N,), from 1; the label of an object is that of its track so far. Objects that
    belong to no track that counts are left out."""

    @property
    def track_ids(self) -> np.ndarray:
        """(N,) the number of each object."""
        return self.instances.extra[TRACK_IDS].numpy()


class Stages:
    """Seconds that each stage took, by its name; from several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - start
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + took


def track(
    predictor: FilmPredictor,
    film: FilmLike,
    *,
    every: int = 1,
    start: float = 0.0,
    end: float | None = None,
    seconds: float | None = None,
    frames: int | None = None,
    frame_rate: float = SERIES_RATE,
    live: bool = False,
    confirm_frames: int = TrackingRules.confirm_frames,
    max_lost_frames: int = TrackingRules.max_lost_frames,
) -> Iterator[TrackedFrame]:
    """The frames of a film, one after the other, with the objects in them, which keep their numbers.

        for frame in maskrcnn.track(predictor, "clip.mp4"):
            print(frame.time_s, frame.track_ids, frame.instances)

    Frames come `confirm_frames` - 1 later than they are seen, since an object has its number from the first frame on in
    which it is there. Only a few frames are held at a time, however long the film is.

    Args:
        film: the path of a video, an animated GIF or a TIFF of several pages; an address (rtsp, http); the number of a
            camera; or a list of pictures.
        every: each so many-th frame.
        start, end: s of the film.
        seconds, frames: of the film that are taken, at most; for cameras and streams, which do not end.
        frame_rate: in a second, of pictures and pages that have no times.
        live: drop frames for which there is no time, rather than fall behind.
        confirm_frames: an object counts that is seen in so many frames on end.
        max_lost_frames: an object that is not seen for more frames has a new number when it comes back.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a film, no such camera, no stream at the address, a number out of range.
    """
    choice = Choice(every, start, end, seconds, frames)
    tracker = Tracker(TrackingRules(sure_score(predictor), confirm_frames, max_lost_frames))
    opened = open_film(film, frame_rate=frame_rate)
    return _tracked_film(predictor, opened, choice, tracker, live)


def _tracked_film(
    predictor: FilmPredictor, opened: Film, choice: Choice, tracker: Tracker, live: bool
) -> Iterator[TrackedFrame]:
    taken = iter(LiveFrames(opened, choice)) if live else in_background(chosen_frames(opened, choice), FRAMES_AHEAD)
    with closing(opened), closing(taken) as frames:
        yield from followed(detected(predictor, frames), tracker)


def sure_score(predictor: FilmPredictor) -> float:
    """The score from which a detection can begin a track: what the predictor is set to."""
    return predictor.settings.detection.score_threshold if isinstance(predictor, Predictor) else 0.0


def detected(predictor: FilmPredictor, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Instances]]:
    """Each frame and what is in it, also of doubtful scores; a batch at a time."""
    frames = iter(frames)
    while batch := list(islice(frames, predictor.batch_size)):
        yield from zip(batch, find(predictor, [frame.image for frame in batch]), strict=True)


def find(predictor: FilmPredictor, images: Sequence[np.ndarray]) -> list[Instances]:
    """What is in each image, also of doubtful scores."""
    if not isinstance(predictor, Predictor):
        return predictor(list(images))
    head = predictor.model.box_head
    own = head.rules
    doubtful = max(DOUBTFUL_SHARE * own.score_threshold, min(own.score_threshold, 1.01 * COUNTING_SCORE))
    head.rules = replace(own, score_threshold=doubtful)
    try:
        return predictor(list(images))
    finally:
        head.rules = own


def followed(found: Iterable[tuple[Frame, Instances]], tracker: Tracker) -> Iterator[TrackedFrame]:
    """The frames with the objects of tracks that count, as soon as it is known which those are."""
    waiting: deque[tuple[Frame, Instances, np.ndarray]] = deque()
    for frame, instances in found:
        waiting.append((frame, instances, tracker.update(instances, frame.time_s)))
        if len(waiting) >= tracker.rules.confirm_frames:
            yield _numbered(*waiting.popleft(), tracker)
    tracker.finish()
    while waiting:
        yield _numbered(*waiting.popleft(), tracker)


def _numbered(frame: Frame, instances: Instances, keys: np.ndarray, tracker: Tracker) -> TrackedFrame:
    numbers = tracker.numbers(keys)
    is_kept = numbers != NO_TRACK
    kept, numbers = instances[is_kept], numbers[is_kept]
    labels = torch.tensor([tracker.labels[number] for number in numbers.tolist()], dtype=torch.int64)
    kept = replace(kept, labels=labels, extra={**kept.extra, TRACK_IDS: torch.from_numpy(numbers)})
    return TrackedFrame(frame.number, frame.time_s, frame.image, kept)


def in_background(items: Iterable[Item], num: int) -> Generator[Item, None, None]:
    """The same items, made by another thread, at most `num` before they are asked for."""
    ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(num)
    is_stopped = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        while not is_stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
                return
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(item, None)
                if is_stopped.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # pyright: ignore[reportReturnType]
            del item  # a large picture
    finally:
        is_stopped.set()
        maker.join()
