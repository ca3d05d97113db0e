"""Files that are either whole or not there, and folders that one process at a time writes to."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".maskrcnn-", ".part"
"""Of a file that is being written; short, since the name it will take may be as long as the file system allows."""
LOCK_NAME = ".maskrcnn-lock"
NO_LOCKS_HERE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What some network file systems answer; the folder is then used without a lock."""
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""A folder of a stranger may hold a link where the lock is."""

_held: set[int] = set()
"""Descriptors of the locks of this process."""


class FolderInUseError(ValueError):
    """Another process writes to the folder."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well, and goes when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(TEMPORARY_SUFFIX, TEMPORARY_PREFIX, path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a full disk does not say what was being written
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def clear_temporaries(folder: str | Path) -> int:
    """Remove what killed processes left of `atomic_path` in `folder` and below; gives how many files that were.

    Call it under `folder_lock`, or it takes the files from under a process that is writing them.
    """
    left = [path for path in Path(folder).rglob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}") if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


@contextmanager
def folder_lock(path: str | Path, what: str) -> Iterator[None]:
    """Keep `path` (made if need be) for this process while the block runs; `what` says what it is doing there.

    The kernel holds the lock, so one whose process was killed is free at once. The file that carries it goes with it,
    and so does a folder that was made for nothing.

    Raises:
        FolderInUseError: another process (or another block of this one) holds it; names what, and the process.
        ValueError: a link is where the lock would be.
    """
    folder = Path(path)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK_NAME
    handle = _locked(file, what)
    os.ftruncate(handle, 0)
    os.write(handle, f"{what} (process {os.getpid()} on {socket.gethostname()})".encode())
    _held.add(handle)
    try:
        yield
    finally:
        _held.discard(handle)
        if fcntl is not None:
            file.unlink(missing_ok=True)  # while it is locked, so that nobody else's is removed
        os.close(handle)
        if fcntl is None:  # Windows removes no open file, and no other process's
            with suppress(OSError):
                file.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):  # where the block wrote anything, the folder stays
                folder.rmdir()


def _locked(file: Path, what: str) -> int:
    """Descriptor of `file`, locked."""
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | NO_LINK, 0o644)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise ValueError(f"{file}: this is a link, and the file it leads to would be overwritten") from None
        try:
            _lock(handle)
        except OSError as error:
            if error.errno in NO_LOCKS_HERE:
                return handle
            with suppress(OSError):
                holder = os.pread(handle, 1000, 0).decode(errors="replace") if fcntl is not None else ""
            os.close(handle)
            raise FolderInUseError(
                f"{file.parent} is in use by {holder or 'another process'}; "
                f"wait for that to end, or choose another folder for {what}"
            ) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(file)):
                return handle
        os.close(handle)  # its holder removed the file between our opening and our locking it


def _lock(handle: int) -> None:
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt  # there is no such module elsewhere

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]


def _close_in_child() -> None:
    """A lock belongs to all processes that have it open: one that was forked must not keep it for a killed parent."""
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
