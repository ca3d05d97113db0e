"""Which of a file's channels is counted: the one that was named, or the one whose name says what is looked for."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from maskrcnn.data.pictures.limits import ImageError

NUCLEAR = re.compile(
    r"dapi|hoechst|draq ?[57]|nucle(us|i|ar)\b|nucblue|nucred|nucgreen|sytox|syto ?\d+|to-?pro|propidium|h2b|h33342"
    r"|\bdna\b|\bpi\b|haematoxylin|hematoxylin",
    re.IGNORECASE,
)
"""In names of channels: stains and labels of nuclei, and what they show."""
NUCLEUS = re.compile(r"nucle(us|i)\b", re.IGNORECASE)
"""In names of classes."""
MAX_LISTED = 16
"""Channels that a sentence lists."""


def choose_channel(
    names: Sequence[str],
    channel: int | str | None,
    looks_for: Sequence[str],
    name: str,
    read: Callable[[int], np.ndarray],
) -> tuple[int | None, str]:
    """The number of the channel to count in, None for the maximum of all; and what to say of that choice, or "".

    Args:
        names: of the channels, two or more; "" where the file says none.
        channel: what was asked for: a number from 0, a name in any case, "max", or None.
        looks_for: names of the classes that are looked for. A channel that has one in its name is taken where none was
            asked for, and for nuclei one that names a nuclear stain, if there is just one such.
        read: gives the numbers of a channel, for the sentence that lists them.

    Raises:
        ImageError: no such channel; or none asked for, and none that goes without saying.
    """
    num = len(names)
    if channel == "max":
        return None, ""
    if isinstance(channel, int) and 0 <= channel < num:
        return channel, ""
    if channel is not None:
        asked = str(channel).casefold()
        same = [i for i, title in enumerate(names) if title.casefold() == asked]
        if len(same) == 1:
            return same[0], ""
        listed = _list([_title(i, names) for i in range(num)], ", ")
        raise ImageError(f"{name}: no channel {channel!r} in this file, which has {listed}")
    likely = [i for i, title in enumerate(names) if title and _is_for(title, looks_for)]
    if len(likely) == 1:
        return likely[0], f"of {num} channels {_title(likely[0], names)} is taken, as its name says"
    listed = _list([f"{_title(i, names)}{_facts(read, i)}" for i in range(num)], "; ")
    raise ImageError(
        f"{name}: {num} channels that are not RGB ({listed}); expected to be told which channel to take, by number or "
        "name, or the maximum of all"
    )


def column_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of channels, all different: the number in place of one that is missing, and after one that is twice."""
    return tuple(
        title if title and names.count(title) == 1 else f"{title}_{i}" if title else str(i)
        for i, title in enumerate(names)
    )


def _is_for(title: str, looks_for: Sequence[str]) -> bool:
    is_nuclear = any(NUCLEUS.search(one) for one in looks_for) and NUCLEAR.search(title) is not None
    return is_nuclear or any(re.search(rf"\b{re.escape(one)}\b", title, re.IGNORECASE) for one in looks_for if one)


def _title(number: int, names: Sequence[str]) -> str:
    return f"{number} {names[number]!r}" if names[number] else str(number)


def _list(words: Sequence[str], between: str) -> str:
    more = f"{between}and {len(words) - MAX_LISTED} more" if len(words) > MAX_LISTED else ""
    return between.join(words[:MAX_LISTED]) + more


def _facts(read: Callable[[int], np.ndarray], channel: int) -> str:
    """Mean, and contrast: the standard deviation over the mean."""
    if channel >= MAX_LISTED:
        return ""
    try:
        numbers = read(channel)
    except (ImageError, MemoryError):
        return ""
    mean, spread = float(np.mean(numbers)), float(np.std(numbers))
    contrast = f", contrast {spread / mean:.2f}" if mean > 0 else ""
    return f": mean {mean:.4g}{contrast}"
