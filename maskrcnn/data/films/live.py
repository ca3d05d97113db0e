"""The newest frame of a film while it runs: who is slower than the film misses frames, and does not fall behind."""

import threading
import time
from collections.abc import Callable, Generator

from maskrcnn.data.films.frame import Choice, Film, Frame, chosen_frames


class LiveFrames:
    """Frames as they come, of which each is given once, or dropped where a newer one came before it was asked for.

    A thread reads the film. One that is not live by itself, a file, is played at the times of its frames.
    """

    def __init__(
        self,
        film: Film,
        choice: Choice,
        *,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.num_dropped = 0
        """So far."""
        self._film, self._choice, self._wait, self._clock = film, choice, wait, clock
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: Exception | None = None
        self._is_over = self._is_stopped = False

    def __iter__(self) -> Generator[Frame, None, None]:
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._is_over)
                    frame, self._newest = self._newest, None
                if frame is None:
                    break
                yield frame
            if self._error is not None:
                raise self._error
        finally:
            self._is_stopped = True
            reader.join()

    def _read(self) -> None:
        try:
            start = first_s = None
            for frame in chosen_frames(self._film, self._choice):
                if not self._film.is_live:
                    if start is None or first_s is None:
                        start, first_s = self._clock(), frame.time_s
                    early_s = frame.time_s - first_s - (self._clock() - start)
                    if early_s > 0:
                        self._wait(early_s)
                if self._is_stopped:
                    return
                with self._changed:
                    self.num_dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify()
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify()
