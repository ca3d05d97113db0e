from pathlib import Path

import pytest

from maskrcnn.serve.journal import append, recover


def test_lines_come_back(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    values = [{"what": "é\n"}, [1, 2.5], {"by": "\ud800"}]
    for value in values:
        append(path, value)
    assert recover(path) == values


def test_a_torn_last_line_is_removed_at_every_place(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    for number in range(3):
        append(path, {"number": number})
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        values = recover(path)
        assert len(values) == whole[:end].count(b"\n")  # the last line at most is lost
        append(path, {"number": 9})
        assert recover(path) == [*values, {"number": 9}]


def test_a_line_in_between_that_is_none_is_named(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a":\n{"a": 2}\n')
    with pytest.raises(ValueError, match="line 2 is not valid JSON"):
        recover(path)


def test_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="jsonl"):
        append(tmp_path / "a.jsonl", 1)
    assert not (tmp_path / "elsewhere").exists()
