"""Weights of Keras in HDF5 files: what comes out, and the sentence for each file that is refused."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn.checkpoints.reading import read_source
from tests.checkpoints.checkpoint_files import refused, write_hdf5

KERAS = {
    "conv1/conv1/kernel:0": np.ones((7, 7, 3, 4), np.float32),
    "conv1/conv1/bias:0": np.zeros(4, np.float32),
    "bn_conv1/bn_conv1/moving_mean:0": np.arange(4, dtype=">f4"),
    "activation_1": None,
    "rpn_model/rpn_conv_shared/kernel:0": np.ones((3, 3, 4, 8), np.float32),
    "rpn_model/rpn_class_raw/bias:0": np.arange(6, dtype=np.float32),
    "rpn_model/rpn_bbox_pred/bias:0": np.arange(12, dtype=np.float32),
    "top_level_model_weights": None,
}
KERAS_NAMES = [
    "bn_conv1/moving_mean",
    "conv1/bias",
    "conv1/kernel",
    "rpn_bbox_pred/bias",
    "rpn_class_raw/bias",
    "rpn_conv_shared/kernel",
]


def test_weights_of_keras(tmp_path: Path):
    with write_hdf5(tmp_path / "a.h5", KERAS) as file:
        file.attrs["layer_names"] = np.array([b"conv1", b"activation_1"])
        file["activation_1"].attrs["weight_names"] = np.array([])  # floats, where there are none
    source = read_source(tmp_path / "a.h5")
    assert sorted(source.tensors) == KERAS_NAMES
    assert source.tensors["bn_conv1/moving_mean"].tolist() == [0, 1, 2, 3]
    assert source.tensors["conv1/kernel"].shape == (7, 7, 3, 4)
    assert {tensor.dtype for tensor in source.tensors.values()} == {torch.float32}
    source.tensors["conv1/bias"] += 1


def test_a_whole_model_of_keras(tmp_path: Path):
    arrays = {f"model_weights/{place}": array for place, array in KERAS.items()}
    optimizer = {"optimizer_weights/SGD/conv1/kernel/momentum:0": np.ones(3), "optimizer_weights/SGD/iter:0": 5}
    write_hdf5(tmp_path / "a.h5", {**arrays, **optimizer}).close()
    assert sorted(read_source(tmp_path / "a.h5").tensors) == KERAS_NAMES


def test_a_model_that_keras_built_twice(tmp_path: Path):
    # In one session the layers of the second got numbers behind their names, inside the groups of the first names.
    arrays = {re.sub(r"/(\w+)/(\w+:0)", r"/\1_1/\2", place): array for place, array in KERAS.items()}
    assert "rpn_model/rpn_class_raw_1/bias:0" in arrays
    write_hdf5(tmp_path / "a.h5", arrays).close()
    assert sorted(read_source(tmp_path / "a.h5").tensors) == KERAS_NAMES


def test_layers_that_are_numbered_keep_their_numbers(tmp_path: Path):
    arrays = {f"inner/conv_{i}/kernel:0": np.ones(1) for i in range(2)} | {"dense_1/dense_1/kernel:0": np.ones(1)}
    write_hdf5(tmp_path / "a.h5", arrays).close()
    assert sorted(read_source(tmp_path / "a.h5").tensors) == ["conv_0/kernel", "conv_1/kernel", "dense_1/kernel"]


def test_links_out_of_an_hdf5_file_are_not_followed(tmp_path: Path):
    h5py = pytest.importorskip("h5py")
    write_hdf5(tmp_path / "other.h5", {"secret/secret/kernel:0": np.ones(3)}).close()
    links = {
        "far": h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret"),
        "near": h5py.SoftLink("/conv1"),
        "model_weights": h5py.ExternalLink(str(tmp_path / "other.h5"), "/"),
    }
    with write_hdf5(tmp_path / "a.h5", {**KERAS, **links}) as file:
        assert "secret" in file["model_weights"]  # the link works
        file["conv1/itself"] = file["conv1"]  # a cycle
    assert sorted(read_source(tmp_path / "a.h5").tensors) == KERAS_NAMES


def test_values_outside_an_hdf5_file_are_not_read(tmp_path: Path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "raw").write_bytes(bytes(400))
    with write_hdf5(tmp_path / "a.h5", KERAS) as file:
        file.create_dataset("x/x/kernel:0", (100,), "f4", external=[(str(tmp_path / "raw"), 0, 400)])
    assert "keeps x/kernel in another file" in refused(tmp_path / "a.h5")
    with write_hdf5(tmp_path / "a.h5", KERAS) as file:
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (3,))
        file.create_virtual_dataset("x/x/kernel:0", layout)
    assert "keeps x/kernel in another file" in refused(tmp_path / "a.h5")


def test_hdf5_files_that_are_no_weights_of_keras_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.h5"
    with write_hdf5(path, {}) as file:
        file.create_dataset("x/x/kernel:0", (10**6, 10**6), "f4", chunks=(100, 100))  # nothing of it is stored
    assert "claims far more values" in refused(path)
    write_hdf5(path, {"layers/conv/vars/0": np.ones(3)}).close()
    assert "of Keras 3" in refused(path)
    write_hdf5(path, {"conv1/conv1/kernel:0": np.ones(3), "conv1/conv1/kernel": np.ones(3)}).close()
    assert "conv1/kernel twice" in refused(path)
    write_hdf5(path, {"names": ["a", "b"], "x": None}).close()
    assert "holds no tensors" in refused(path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert 'pip install "maskrcnn[h5]"' in refused(path)
