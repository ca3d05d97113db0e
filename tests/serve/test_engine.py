"""With a predictor that does as it is told."""

import threading
from concurrent.futures import wait
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskrcnn.model.box_head import DetectionRules
from maskrcnn.serve.engine import Engine

IMAGE = np.zeros((4, 4, 3), np.uint8)
BAD = np.full((4, 4, 3), 9, np.uint8)


@dataclass
class Told:
    """Notes the batches and the scores at which they were seen; fails for a batch with `BAD` in it."""

    batch_size: int = 1
    begun: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = SimpleNamespace(detection=SimpleNamespace(score_threshold=0.5))
        self.model = SimpleNamespace(box_head=SimpleNamespace(rules=DetectionRules(score_threshold=0.5)))

    def __call__(self, images: Any) -> Any:
        self.begun.set()
        assert self.goes_on.wait(30)
        many = images if isinstance(images, list) else [images]
        self.seen.append((len(many), self.model.box_head.rules.score_threshold))
        if any(image is BAD for image in many):
            raise RuntimeError("no")
        return ["found"] * len(many) if isinstance(images, list) else "found"


def read(image: np.ndarray = IMAGE) -> Any:
    return lambda: (image, ())


def test_what_waits_goes_together_and_others_scores_apart():
    told = Told(batch_size=3)
    engine = Engine(told)  # pyright: ignore[reportArgumentType]
    first = engine.predict(read())
    assert told.begun.wait(30)
    waiting = [engine.predict(read()) for _ in range(4)] + [engine.predict(read(), 0.1)]
    assert engine.num_waiting == 5
    told.goes_on.set()
    wait([first, *waiting], 30)
    assert told.seen == [(1, 0.5), (3, 0.5), (1, 0.5), (1, 0.1)]
    assert told.model.box_head.rules.score_threshold == 0.5
    assert (engine.num_batches, engine.num_pictures, engine.num_waiting) == (4, 6, 0)
    engine.close(30)
    assert not engine.is_alive


@pytest.mark.filterwarnings("ignore")
def test_a_picture_that_fails_harms_no_other():
    told = Told(batch_size=8)
    told.goes_on.set()
    engine = Engine(told)  # pyright: ignore[reportArgumentType]

    def unreadable() -> Any:
        raise ValueError("not a picture")

    hold = threading.Event()
    engine.call(lambda _: hold.wait(30))
    good, bad, broken = engine.predict(read()), engine.predict(read(BAD)), engine.predict(unreadable)
    hold.set()
    assert good.result(30).instances == "found"
    with pytest.raises(RuntimeError, match="no"):
        bad.result(30)
    with pytest.raises(ValueError, match="not a picture"):
        broken.result(30)
    assert engine.predict(read()).result(30).instances == "found"
    engine.close(30)


def test_what_nobody_waits_for_is_left_out():
    told = Told()
    engine = Engine(told)  # pyright: ignore[reportArgumentType]
    first = engine.predict(read())
    assert told.begun.wait(30)
    second, call = engine.predict(read()), engine.call(lambda _: 1 / 0)
    assert second.cancel()
    told.goes_on.set()
    assert first.result(30).instances == "found"
    with pytest.raises(ZeroDivisionError):
        call.result(30)
    assert told.seen == [(1, 0.5)]
    engine.close(30)


def test_a_call_gets_the_predictor():
    told = Told()
    engine = Engine(told)  # pyright: ignore[reportArgumentType]
    assert engine.call(lambda predictor: predictor).result(30) is told
    engine.close(30)
