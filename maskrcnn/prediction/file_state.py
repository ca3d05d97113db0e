"""What tells whether a file is still the one that was read."""

import hashlib
import os
import stat
from pathlib import Path

from maskrcnn.prediction.job_parts import Strict

HASHED_BYTES = 64 << 20
"""Of files up to this size the content is compared; larger ones count as changed when their inode was (ctime)."""


class FileState(Strict):
    """Where a file is, and what changes when it is written."""

    path: str
    """Without links."""
    size: int
    """Bytes."""
    mtime: int
    """ns."""
    ctime: int
    """ns; on POSIX also that of a change which set the other times back."""
    content: str | None
    """Hash; None for a file that is too large, or none with a content."""


def state_of(file: Path) -> FileState:
    """The state of a file that is there.

    Raises:
        OSError: a file that is not there, or cannot be read.
    """
    status = file.stat()
    return FileState(
        path=os.path.realpath(file),
        size=status.st_size,
        mtime=status.st_mtime_ns,
        ctime=status.st_ctime_ns,
        content=_content_hash(file, status),
    )


def is_current_state(then: FileState, file: Path) -> bool:
    """Whether a file is still in the state that it was in `then`."""
    try:
        status = file.stat()
        if (status.st_size, status.st_mtime_ns) != (then.size, then.mtime):
            return False
        if status.st_ctime_ns == then.ctime and os.name != "nt":  # where it is the time of creation
            return True
        return then.content is not None and then.content == _content_hash(file, status)
    except OSError:  # it is gone
        return False


def _content_hash(file: Path, status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode) or status.st_size > HASHED_BYTES:
        return None
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
