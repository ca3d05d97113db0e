"""A file is either whole or not there; a folder has one writer."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from maskrcnn.files import LOCK_NAME, FolderInUseError, atomic_path, clear_temporaries, folder_lock


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


def test_a_name_as_long_as_names_can_be(tmp_path: Path):
    with atomic_path(tmp_path / ("n" * 251 + ".txt")) as temporary:
        temporary.write_text("whole")
    assert len(os.listdir(tmp_path)[0]) == 255


def in_another_process(program: str, *args: object) -> "subprocess.Popen[str]":
    """A process that has said its first line."""
    command = [sys.executable, "-c", program, *map(str, args)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


KILLED_WHILE_WRITING = """
import sys
from maskrcnn.files import atomic_path
with atomic_path(sys.argv[1]) as path:
    path.write_text("hal")
    print("ready", flush=True)
    input()
"""

HOLDS_A_FOLDER = """
import os, sys
from maskrcnn.files import folder_lock
with folder_lock(sys.argv[1], "training"):
    child = os.fork() if len(sys.argv) > 2 else 1
    if child:
        if len(sys.argv) > 2:
            open(sys.argv[2], "w").write(str(child))
        print("ready", flush=True)
    input()
"""


def test_what_a_kill_left_is_cleared(tmp_path: Path):
    process = in_another_process(KILLED_WHILE_WRITING, tmp_path / "deep" / "a.txt")
    process.kill()
    process.communicate()
    (tmp_path / ".own.part").write_text("of the user")
    (tmp_path / "deep" / "a.part").write_text("of the user")
    assert len(os.listdir(tmp_path / "deep")) == 2
    assert clear_temporaries(tmp_path) == 1
    assert clear_temporaries(tmp_path) == 0
    assert (os.listdir(tmp_path / "deep"), (tmp_path / ".own.part").exists()) == (["a.part"], True)
    assert clear_temporaries(tmp_path / "gone") == 0


def hold(folder: Path) -> None:
    with folder_lock(folder, "counting"):
        pass


def test_a_folder_has_one_writer(tmp_path: Path):
    folder = tmp_path / "new"
    with folder_lock(folder, "training"):
        with pytest.raises(
            FolderInUseError, match=rf"new is in use by training \(process {os.getpid()} on .*folder for"
        ):
            hold(folder)
        hold(tmp_path / "other")
        assert len(os.listdir(folder)) == 1  # the refused one took nothing away
    assert not folder.exists()  # it was made for nothing
    folder.mkdir()
    hold(folder)
    assert os.listdir(folder) == []


def test_a_folder_is_free_when_its_process_was_killed(tmp_path: Path):
    process = in_another_process(HOLDS_A_FOLDER, tmp_path)
    with pytest.raises(FolderInUseError, match=rf"in use by training \(process {process.pid} on "):
        hold(tmp_path)
    process.kill()
    process.communicate()
    assert len(os.listdir(tmp_path)) == 1  # nobody could remove it
    hold(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_does_not_keep_the_folder(tmp_path: Path):
    process = in_another_process(HOLDS_A_FOLDER, tmp_path / "out", tmp_path / "child")
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        hold(tmp_path / "out")
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path):
    """What it leads to would be emptied, in a folder that a stranger made."""
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / LOCK_NAME).symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="this is a link"), folder_lock(tmp_path / "theirs", "infer"):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_full_disk_names_the_file(tmp_path: Path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*report\.html'"),
        atomic_path(tmp_path / "report.html"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
