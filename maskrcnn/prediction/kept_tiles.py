"""Results of the tiles of a picture that is not done yet, a small file each: a killed job goes on at its tile."""

import errno
import hashlib
import json
import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import torch

from maskrcnn.files import atomic_path
from maskrcnn.prediction.file_state import FileState
from maskrcnn.prediction.tiles import Grid
from maskrcnn.structures.instances import Instances


class TileFiles:
    """The tiles of the picture that was in `state` when it was read, under settings that `settings` stands for."""

    def __init__(self, folder: Path, settings: str, state: FileState) -> None:
        self._folder = folder / hashlib.sha256(f"{settings} {json.dumps(state.model_dump())}".encode()).hexdigest()[:32]

    def load(self, grid: Grid, number: int) -> Instances | None:
        """The result of a tile; None where it is not there, or damaged."""
        with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError):
            found = Instances.from_dict(torch.load(self._path(grid, number), weights_only=True))
            y0, x0, y1, x1 = grid[number].window
            return found if found.image_size == (y1 - y0, x1 - x0) else None
        return None

    def save(self, grid: Grid, number: int, found: Instances) -> None:
        """Keep the result of a tile.

        Raises:
            OSError: it cannot be written.
        """
        path = self._path(grid, number)
        with atomic_path(path) as temporary:
            try:
                torch.save(found.to_dict(), temporary)
            except RuntimeError as error:  # what torch makes of a full disk
                raise OSError(errno.ENOSPC, "a tile cannot be kept; is the disk full?", str(path)) from error

    def remove(self) -> None:
        """When the picture is done."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, grid: Grid, number: int) -> Path:
        facts = json.dumps([grid.image_size, grid.tile_px, grid.overlap_px, grid.unit_px])
        return self._folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:8]}-{number}.pt"
