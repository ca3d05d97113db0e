"""What a mistyped name was probably meant to be."""

import difflib
from collections.abc import Iterable

LONGEST_WORD = 100
"""Letters that are compared; a stranger's file may hold a word of megabytes."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question to put behind an error, such as "; did you mean nuclei?", or "" where no known name is near."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word[:LONGEST_WORD].lower(), names, n=1)
    return f"; did you mean {names[close[0]]}?" if close else ""
