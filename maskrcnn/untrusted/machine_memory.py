"""How much memory there is, against which what a stranger's file asks for is held."""

import os
from functools import cache
from pathlib import Path


@cache
def memory_bytes() -> float:
    """Of the machine, or what its container allows; infinite where neither is told."""
    known = [float("inf")]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            known.append(float(Path(file).read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    if hasattr(os, "sysconf"):  # not on Windows
        known.append(float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES"))
    return min(known)
