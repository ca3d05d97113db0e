"""Names from strangers (of files, of classes) made fit for a terminal, for UTF-8 and for a cell of a table."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: escape codes move the cursor, colour, or retitle a terminal
    "\u2028\u2029"  # line ends to some readers
    "\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these turn the direction, so that gnp.exe reads as exe.png
    "\ud800-\udfff]"
)
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are the wide forms of the first


def utf8(name: str) -> str:
    r"""`name` with what UTF-8 cannot hold spelt out: a byte of a file name as \xff, a lone surrogate as \ud800."""
    return _SURROGATE.sub(_spelt, name)


def printable(text: str) -> str:
    r"""`text` in one line that changes nothing but what it says: control characters become \x1b, \n and the like."""
    return _UNPRINTABLE.sub(_spelt, text)


def printable_lines(text: str) -> str:
    """The same for text of several lines, which stay."""
    return "\n".join(map(printable, text.split("\n")))


def table_cell(name: str) -> str:
    """`printable` for a CSV: what a spreadsheet would take for a formula begins with an apostrophe.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return f"'{printable(name)}" if name.startswith(_FORMULA) else printable(name)


def _spelt(match: re.Match[str]) -> str:
    character = match.group()
    if "\udc80" <= character <= "\udcff":  # Python's surrogateescape: a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
