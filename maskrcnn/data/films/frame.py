"""A frame of a film, what a source of frames offers, and which of its frames are taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class FilmError(ValueError):
    """A film that cannot be used; the message names it and the reason."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a film."""

    number: int
    """In the film, from 0; frames that are not taken count, too."""
    time_s: float
    """When it is shown: seconds from the start of the film, or since a camera or stream was opened."""
    image: np.ndarray
    """RGB uint8 (H, W, 3), upright."""


class Film(Protocol):
    """A source of frames, opened; for one thread."""

    @property
    def name(self) -> str: ...
    @property
    def num_frames(self) -> int | None:
        """As the film says; None where it does not, as a camera."""
        ...

    @property
    def frame_rate(self) -> float | None:
        """Frames in a second, on the average; None where that is not known."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether frames come by themselves, at their time."""
        ...

    def advance(self) -> float | None:
        """Go to the next frame and give its time in seconds; None at the end. The picture is decoded by `image`."""
        ...

    def image(self) -> np.ndarray | None:
        """The frame it stands at, RGB uint8 (H, W, 3); None where that is broken."""
        ...

    def notes(self) -> list[str]:
        """What was wrong with the film as far as it was read, a sentence each."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Choice:
    """Which frames of a film are taken."""

    every: int = 1
    """Each so many-th frame, the first at `start_s`."""
    start_s: float = 0.0
    end_s: float | None = None
    """The first frame at or after it is not taken."""
    seconds: float | None = None
    """Of film, from the first frame that is taken."""
    frames: int | None = None
    """That are taken, at most."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: expected each frame (1), every second (2), ..., got {self.every}")
        if not self.start_s >= 0:
            raise ValueError(f"start: expected seconds from 0, got {self.start_s:g}")
        if self.end_s is not None and not self.end_s > self.start_s:
            raise ValueError(f"end: expected seconds after the start at {self.start_s:g}, got {self.end_s:g}")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds: expected more than 0, got {self.seconds:g}")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames: expected at least 1, got {self.frames}")


def chosen_frames(film: Film, choice: Choice = Choice()) -> Iterator[Frame]:
    """The frames that are taken, one after the other; broken ones are left out, and the film's `notes` count them."""
    number = since_start = num_taken = 0
    first_s = None
    while (time_s := film.advance()) is not None:
        number += 1
        if time_s < choice.start_s:
            continue
        first_s = time_s if first_s is None else first_s
        is_over = choice.end_s is not None and time_s >= choice.end_s
        if is_over or (choice.seconds is not None and time_s - first_s >= choice.seconds):
            return
        since_start += 1
        if (since_start - 1) % choice.every:
            continue
        image = film.image()
        if image is None:
            continue
        yield Frame(number - 1, time_s, image)
        num_taken += 1
        if num_taken == choice.frames:
            return
