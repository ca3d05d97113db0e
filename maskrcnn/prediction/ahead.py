"""Work done by other threads a little ahead of who needs it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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
