"""Checkpoint files of several kinds, and what is said of those that cannot be read."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from maskrcnn.checkpoints.reading import read_source

WEIGHT = torch.arange(6.0).reshape(2, 3)
STATE = {"backbone.conv1.weight": WEIGHT, "backbone.bn1.num_batches_tracked": torch.tensor(7)}
ARRAYS = {name: tensor.numpy() for name, tensor in STATE.items()}


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def pickled(path: Path, content: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\S") as error:
        read_source(path)
    sentence = str(error.value)
    print(f"\n{sentence}")
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    assert len(sentence) < len(str(path)) + 400
    return sentence.removeprefix(f"{path}: ")


def write_hdf5(path: Path, arrays: dict[str, Any]) -> Any:
    """An open HDF5 file with datasets at these places; a link or an empty group where there is no array."""
    h5py = pytest.importorskip("h5py")
    file = h5py.File(path, "w")
    for place, array in arrays.items():
        if array is None:
            file.create_group(place)
        else:
            file[place] = array
    return file
