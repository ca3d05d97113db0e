"""A file is either whole or not there."""

import os
import stat
from pathlib import Path

import pytest

from maskrcnn.files import atomic_path


def test_takes_its_name_when_all_went_well(tmp_path: Path):
    path = tmp_path / "new" / "deep" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent  # so that taking the name is one rename on one disk
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["a.txt"]


def fail_in_the_middle(path: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("hal")
        raise RuntimeError("in the middle")


@pytest.mark.parametrize("old", [None, "old"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, old: str | None):
    path = tmp_path / "a.txt"
    if old is not None:
        path.write_text(old)
    with pytest.raises(RuntimeError, match="in the middle"):
        fail_in_the_middle(str(path))
    assert os.listdir(tmp_path) == ([] if old is None else ["a.txt"])
    assert old is None or path.read_text() == old


def test_replaces_a_whole_file(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("a longer old text")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_others_may_read_it(tmp_path: Path):
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644
