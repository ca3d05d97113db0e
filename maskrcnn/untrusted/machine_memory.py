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


def free_bytes() -> int:
    """What a process can still take of it; 8 GiB where the system does not say."""
    free = 8 * 2**30
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, now = _text(limit).strip(), _text(used).strip()
        if most.isdigit() and now.isdigit():
            free = min(free, max(0, int(most) - int(now)))
    return free


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
