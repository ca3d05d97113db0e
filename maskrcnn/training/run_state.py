"""last.pt: everything that a run needs to go on, checked before any of it is believed."""

import errno
import hashlib
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from maskrcnn.files import atomic_path

log = logging.getLogger("maskrcnn")

NAME = "last.pt"
MARK = b"maskrcnn run sha256:"
BLOCK = 2**20  # bytes that are read at a time
KEYS = (
    "config",
    "progress",
    "model",
    "optimizer",
    "schedule",
    "scaler",
    "average",
    "torch_random",
    "cuda_random",
)


def save_run_state(state: Mapping[str, Any], folder: Path) -> None:
    """Write `state`, which has `KEYS`, to `folder`; its sum comes behind the archive, whose readers do not mind."""
    assert tuple(state) == KEYS
    with atomic_path(folder / NAME) as temporary:
        try:
            torch.save(dict(state), temporary)
        except RuntimeError as error:  # what torch makes of a full disk, in words of its own source
            raise OSError(
                errno.ENOSPC, "the checkpoint cannot be written; is the disk full?", str(folder / NAME)
            ) from error
        total = hashlib.sha256()
        with temporary.open("r+b") as file:
            while block := file.read(BLOCK):
                total.update(block)
            file.write(MARK + total.digest())


def load_run_state(folder: Path, device: torch.device) -> dict[str, Any]:
    """What `save_run_state` wrote, if its SHA-256 fits; torch itself reads past what a flipped bit has changed.

    A checkpoint of an older version, without that sum, is checked by the CRC-32 of the archive's members, and said.

    Raises:
        FileNotFoundError: there is no checkpoint in the folder.
        ValueError: it is damaged, or no checkpoint of a run.
    """
    path = folder / NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no checkpoint to resume from")
    has_sum = _check_sum(path)
    try:
        damaged = None
        if not has_sum:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        if damaged is None:
            state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damage raises anything
        raise ValueError(
            f"{path}: not a checkpoint of a run, or a damaged one ({' '.join(str(error).split())[:200]})"
        ) from None
    if damaged is not None:
        raise ValueError(f"{path}: damaged, the checksum of {damaged} does not fit; the run cannot go on from it")
    if not isinstance(state, dict):
        raise ValueError(f"{path}: expected the checkpoint of a run, got a {type(state).__name__}")
    missing, others = [key for key in KEYS if key not in state], [str(key) for key in state if key not in KEYS]
    if not has_sum and not missing:
        log.info("%s: of an older version, without a checksum of the whole", path)
    if missing or others:
        said = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(others[:5])}"] * bool(others)
        raise ValueError(f"{path}: expected the checkpoint of a run, got a file {' and '.join(said)}")
    return state


def _check_sum(path: Path) -> bool:
    """Whether the file has a sum; raises ValueError where it does not fit."""
    length = len(MARK) + hashlib.sha256().digest_size
    left = path.stat().st_size - length
    if left < 0:
        return False
    with path.open("rb") as file:
        file.seek(left)
        end = file.read()
        if not end.startswith(MARK):
            return False
        file.seek(0)
        total = hashlib.sha256()
        while left:
            block = file.read(min(left, BLOCK))
            total.update(block)
            left -= len(block)
    if total.digest() != end[len(MARK) :]:
        raise ValueError(f"{path}: damaged, its checksum does not fit; the run cannot go on from it")
    return True
