"""Frames as they come: by a clock of our own, so that nothing waits."""

import threading
from pathlib import Path

import pytest

from maskrcnn.data.films.frame import Choice, FilmError
from maskrcnn.data.films.live import LiveFrames
from maskrcnn.data.films.video import VideoFile
from tests.data.films.made_films import write_film


def test_who_is_slow_gets_the_newest_frame_and_is_told_what_was_dropped(tmp_path: Path):
    now, is_seen = 0.0, threading.Event()

    def wait(seconds: float) -> None:  # the film stands before its second frame until the first is taken
        nonlocal now
        is_seen.wait(10)
        now += seconds

    live = LiveFrames(VideoFile(write_film(tmp_path / "a.mp4")), Choice(), wait=wait, clock=lambda: now)
    frames = iter(live)
    numbers = [next(frames).number]
    is_seen.set()
    reader = next(thread for thread in threading.enumerate() if "_read" in thread.name)
    reader.join(10)  # we are so slow that the film is over
    numbers += [frame.number for frame in frames]
    assert numbers == [0, 5]
    assert live.num_dropped == 4
    assert now == pytest.approx(0.5)  # it was played at its times


def test_what_goes_wrong_in_the_thread_is_raised(tmp_path: Path):
    class Bad(VideoFile):
        def image(self):
            raise FilmError("a.mp4: bad")

    with pytest.raises(FilmError, match="bad"):
        list(LiveFrames(Bad(write_film(tmp_path / "a.mp4")), Choice()))
