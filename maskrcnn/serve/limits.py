"""What one request, and all of them together, may take; and the sentence for each limit."""

from dataclasses import dataclass


class RefusedError(ValueError):
    """A request that is not served, with the HTTP status and one sentence for who sent it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """Of the server. Raises ValueError for one that is not above 0."""

    max_bytes: int = 64 << 20
    """Of the body of a request."""
    max_pixels: int = 50_000_000
    """Of a picture."""
    max_waiting: int = 64
    """Requests with a picture that are read, waiting or at work."""
    max_waiting_bytes: int = 512 << 20
    """Of their bodies together."""
    body_timeout_s: float = 60.0
    """For a body to arrive."""
    answer_timeout_s: float = 120.0
    """From then on to the answer, waiting included."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value:g}")


class WaitingRoom:
    """Counts the requests with a picture, and the bytes that they hold; for one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.num = 0
        self.num_bytes = 0

    def enter(self) -> "Seat":
        """A place for one request, to be used in a `with` block.

        Raises:
            RefusedError: 429, there is none.
        """
        if self.num >= self._limits.max_waiting:
            raise RefusedError(429, f"{self.num} requests are waiting, which is the limit; try again in a few seconds")
        return Seat(self, self._limits)


class Seat:
    """The place of one request, and its bytes as they arrive."""

    def __init__(self, room: WaitingRoom, limits: Limits) -> None:
        self._room, self._limits, self._num_bytes = room, limits, 0
        room.num += 1

    def __enter__(self) -> "Seat":
        return self

    def __exit__(self, *_: object) -> None:
        self._room.num -= 1
        self._room.num_bytes -= self._num_bytes

    def take(self, num_bytes: int) -> None:
        """Account for so many more bytes.

        Raises:
            RefusedError: 413, the request has more than one may; 429, all together have.
        """
        if self._num_bytes + num_bytes > self._limits.max_bytes:
            raise RefusedError(413, f"the request has more than {self._limits.max_bytes:,} bytes, which is the limit")
        if self._room.num_bytes + num_bytes > self._limits.max_waiting_bytes:
            raise RefusedError(
                429, "the requests that are waiting fill the memory set aside; try again in a few seconds"
            )
        self._num_bytes += num_bytes
        self._room.num_bytes += num_bytes
