"""A stranger's value in a message: short, on one line, and made in no time whatever it is."""

from collections.abc import Iterable, Mapping
from itertools import islice

MOST_TEXT, MOST_ITEMS, MOST_DEPTH = 60, 6, 3
MOST_DIGITS_BITS = 128


def excerpt(value: object, depth: int = MOST_DEPTH) -> str:
    """What `repr` would say, as far as that is short.

    `repr` itself never ends for a list of lists of the same list, and takes gigabytes for long text or numbers. Only
    plain values are looked into; of any other object the type is said.
    """
    kind = type(value)
    if value is None or kind in (bool, float):
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() <= MOST_DIGITS_BITS else f"a number of {value.bit_length()} bits"  # type: ignore[attr-defined]
    if kind in (str, bytes):
        return repr(value) if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]!r}..."  # type: ignore[index, arg-type]
    if kind in (list, tuple):
        inner = _items((excerpt(item, depth - 1) for item in value), len(value), depth)  # type: ignore[attr-defined, arg-type]
        return f"[{inner}]" if kind is list else f"({inner}{',' * (len(value) == 1)})"  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        pairs = (f"{excerpt(key, depth - 1)}: {excerpt(item, depth - 1)}" for key, item in value.items())
        return f"{{{_items(pairs, len(value), depth)}}}"
    return f"a {kind.__name__}"


def _items(shown: Iterable[str], length: int, depth: int) -> str:
    if depth == 0:
        return "..." if length else ""
    return ", ".join([*islice(shown, MOST_ITEMS), *(["..."] if length > MOST_ITEMS else [])])
