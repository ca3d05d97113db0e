from pathlib import Path

import pytest

from maskrcnn.untrusted import plain_text
from maskrcnn.untrusted.plain_text import read_lines


def test_lines_of_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntw\xff\n\nlast")
    assert read_lines(tmp_path / "a.txt") == ["one", "tw\ufffd", "", "last"]


def test_too_many_bytes_or_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_text, "MAX_BYTES", 10)
    monkeypatch.setattr(plain_text, "MAX_LINES", 4)
    path = tmp_path / "a.txt"
    path.write_text("123456789\n")
    assert read_lines(path) == ["123456789"]
    path.write_text("1234567890\n")
    with pytest.raises(ValueError, match=r"a\.txt: the file has more than 10 bytes"):
        read_lines(path)
    path.write_text("1\n2\n3\n4\n")
    assert len(read_lines(path)) == 4
    path.write_text("1\n2\n3\n4\n5")
    with pytest.raises(ValueError, match=r"a\.txt: the file has 5 lines, more than the 4 that are read"):
        read_lines(path)
