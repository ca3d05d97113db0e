"""What a message shows of a stranger's value is short, and is there at once."""

from typing import Any

import pytest

from maskrcnn.untrusted.excerpt import MOST_TEXT, excerpt


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -2.5, "text", b"bytes", [], [1, "two"], (), (1,), (1, 2), {}, {"a": [1, 2]}, "it's", "a\nb"],
)
def test_short_values_as_repr_says_them(value: object):
    assert excerpt(value) == repr(value)


def test_long_values_are_cut():
    assert excerpt("x" * 10**6) == f"'{'x' * MOST_TEXT}'..."
    assert excerpt(b"x" * 10**6) == f"b'{'x' * MOST_TEXT}'..."
    assert excerpt(list(range(1000))) == "[0, 1, 2, 3, 4, 5, ...]"
    assert excerpt(dict.fromkeys(range(1000))).endswith("5: None, ...}")
    assert excerpt(1 << 10**6) == "a number of 1000001 bits"  # whose digits Python refuses to write


def test_objects_are_not_asked_how_they_look():
    class Liar:
        def __repr__(self) -> str:
            raise AssertionError("asked")

    assert excerpt([Liar()]) == "[a Liar]"


def test_shared_and_endless_values_end():
    shared: Any = "x"
    for _ in range(200):
        shared = (shared, shared)  # 2^200 values in 200 pairs
    assert excerpt(shared) == "((((...), (...)), ((...), (...))), (((...), (...)), ((...), (...))))"
    itself: list[Any] = []
    itself.append(itself)
    assert excerpt(itself) == "[[[[...]]]]"
    keyed = {(1,) * 100: {(2,) * 100: None}}
    assert len(excerpt(keyed)) < 200


def test_anything_is_shorter_than_a_page():
    widest: Any = "x" * 1000
    for _ in range(5):
        widest = [widest] * 50
    assert len(excerpt(widest)) < 6**3 * (MOST_TEXT + 10)
