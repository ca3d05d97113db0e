"""last.pt: everything that a run needs to go on, checked before any of it is believed."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from maskrcnn.files import atomic_path

NAME = "last.pt"
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
    """Write `state`, which has `KEYS`, to `folder`. torch's zip archive has a CRC-32 of each of its members."""
    assert tuple(state) == KEYS
    with atomic_path(folder / NAME) as temporary:
        torch.save(dict(state), temporary)


def load_run_state(folder: Path, device: torch.device) -> dict[str, Any]:
    """What `save_run_state` wrote; torch itself reads past checksums that don't fit, so they are looked at here first.

    Raises:
        FileNotFoundError: there is no checkpoint in the folder.
        ValueError: it is damaged, or no checkpoint of a run.
    """
    path = folder / NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no checkpoint to resume from")
    try:
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
    if missing or others:
        said = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(others[:5])}"] * bool(others)
        raise ValueError(f"{path}: expected the checkpoint of a run, got a file {' and '.join(said)}")
    return state
