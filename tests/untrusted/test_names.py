"""Names that would do something where they are shown, and what is shown instead."""

import pytest

from maskrcnn.untrusted.names import printable, printable_lines, table_cell, utf8


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Stühle, 細胞.png", "Stühle, 細胞.png"),
        ("a\x1b[2J\x07.png", r"a\x1b[2J\x07.png"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\x9b31m", r"\x9b31m"),  # one character that begins an escape code in 8-bit terminals
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        (b"odd \xff.png".decode(errors="surrogateescape"), r"odd \xff.png"),
        ("half \ud800 a pair", r"half \ud800 a pair"),
        ("", ""),
    ],
)
def test_what_is_shown_is_one_line_that_does_nothing(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    assert printable(text).encode().decode() == shown  # UTF-8 can hold it


def test_utf8_changes_only_what_utf8_cannot_hold() -> None:
    assert utf8("a\x1b\n\u202e ü") == "a\x1b\n\u202e ü"
    assert utf8("\udcff \ud800").encode() == rb"\xff \ud800"


@pytest.mark.parametrize("first", list("=+-@\t\r\n＝＋－＠"))  # noqa: RUF001
def test_a_cell_is_no_formula(first: str) -> None:
    assert table_cell(f"{first}1+cmd|' /C calc'!A0") == f"'{printable(first)}1+cmd|' /C calc'!A0"
    assert table_cell(f"a{first}b") == f"a{printable(first)}b"
    assert table_cell("") == ""


def test_lines_stay() -> None:
    assert printable_lines("one\n\x1b[2Jtwo\r\n") == "one\n\\x1b[2Jtwo\\r\n"
