import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from maskrcnn.prediction.ahead import ahead


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as threads:
        yield threads


def test_order_is_kept_however_long_each_takes(pool: ThreadPoolExecutor) -> None:
    second_is_done = threading.Event()

    def square(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(10)
        if number == 1:
            second_is_done.set()
        return number * number

    assert list(ahead(square, range(20), pool, lambda: 2)) == [number * number for number in range(20)]
    assert list(ahead(square, [], pool, lambda: 2)) == []


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_more_is_made_than_the_limit(pool: ThreadPoolExecutor, limit: int) -> None:
    taken: list[int] = []

    def items():
        for number in range(8):
            taken.append(number)
            yield number

    for number in ahead(lambda number: number, items(), pool, lambda: limit):
        assert len(taken) == min(8, number + 1 + limit)


def test_the_next_is_made_while_one_is_used(pool: ThreadPoolExecutor) -> None:
    made = [threading.Event() for _ in range(3)]
    results = ahead(lambda number: made[number].set(), range(3), pool, lambda: 1)
    next(results)
    assert made[1].wait(10)


def test_an_error_comes_when_it_is_its_turn(pool: ThreadPoolExecutor) -> None:
    results = ahead(lambda number: 6 // (3 - number), range(6), pool, lambda: 2)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
