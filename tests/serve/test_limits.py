import pytest

from maskrcnn.serve.limits import Limits, RefusedError, WaitingRoom


def test_bytes_are_counted_for_each_and_for_all():
    room = WaitingRoom(Limits(max_bytes=10, max_waiting_bytes=15))
    with room.enter() as first, room.enter() as second:
        first.take(6)
        first.take(4)
        with pytest.raises(RefusedError, match="more than 10 bytes") as refused:
            first.take(1)
        assert refused.value.status == 413
        second.take(5)
        with pytest.raises(RefusedError, match="fill the memory") as refused:
            second.take(1)
        assert refused.value.status == 429
        assert (room.num, room.num_bytes) == (2, 15)
    assert (room.num, room.num_bytes) == (0, 0)


def test_a_full_room_lets_nobody_in_until_somebody_leaves():
    room = WaitingRoom(Limits(max_waiting=1))
    with room.enter(), pytest.raises(RefusedError, match="try again") as refused:
        room.enter()
    assert refused.value.status == 429
    with room.enter():
        assert room.num == 1


@pytest.mark.parametrize("name", ["max_bytes", "answer_timeout_s"])
def test_a_limit_is_above_0(name: str):
    with pytest.raises(ValueError, match=f"{name}: expected more than 0, got 0"):
        Limits(**{name: 0})
