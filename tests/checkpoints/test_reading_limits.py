"""Small files that claim, or become, more than they may: each is refused before memory is taken."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from maskrcnn.checkpoints import reading
from maskrcnn.checkpoints.reading import read_source

h5py = pytest.importorskip("h5py", reason="h5py is an extra")


def write_chunk(path: Path, raw: bytes, chunk: tuple[int, ...] = (10,), shape: tuple[int, ...] = (10,)) -> None:
    """A weight whose only part holds `raw`, whatever it should."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("conv1/conv1/kernel:0", shape, "f4", chunks=chunk, compression="gzip")
        dataset.id.write_direct_chunk((0,) * len(shape), raw)


def test_a_part_that_becomes_larger_than_it_claims(tmp_path: Path):
    """40 bytes fit; 64 MB of zeros are 62 kB in the file."""
    path = tmp_path / "a.h5"
    write_chunk(path, zlib.compress(np.arange(10, dtype="f4").tobytes()))
    (tensor,) = read_source(path).tensors.values()
    assert tensor.tolist() == list(range(10))
    write_chunk(path, zlib.compress(bytes(64 << 20)))
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"conv1/kernel in compressed parts that are larger than they claim"):
        read_source(path)


def test_parts_far_larger_than_the_weight(tmp_path: Path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("conv1/conv1/kernel:0", (10,), "f4", maxshape=(None,), chunks=(1 << 24,))
    with pytest.raises(ValueError, match=r"conv1/kernel in parts of 67108864 bytes, far more than it has"):
        read_source(path)


def test_another_compression(tmp_path: Path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("conv1/conv1/kernel:0", data=np.ones(1000, "f4"), compression="lzf")
    with pytest.raises(ValueError, match=r"conv1/kernel compressed in another way than once with gzip"):
        read_source(path)


def test_a_header_of_safetensors_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    monkeypatch.setattr(reading, "MAX_HEADER_BYTES", len(header))
    assert read_source(path).tensors["w"].tolist() == [0.0]
    monkeypatch.setattr(reading, "MAX_HEADER_BYTES", len(header) - 1)
    monkeypatch.setattr(reading, "safe_open", None)
    with pytest.raises(ValueError, match=f"a header of {len(header)} bytes, far above what weights need"):
        read_source(path)
