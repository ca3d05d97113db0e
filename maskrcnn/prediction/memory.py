"""What the process does with memory that it has freed."""

import ctypes
import platform

# Numbers of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
KEPT_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let malloc keep up to 2 GB of freed memory for the next tensor; whether that could be set.

    A large tensor is otherwise mapped afresh and returned when it is freed, and the system clears every page of it at
    its first use: for the feature maps of a picture that takes longer than many of the convolutions. For the whole
    process; only where the C library is glibc, so on Linux.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
