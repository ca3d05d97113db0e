"""Checkpoint files of every kind: what comes out, and the sentence for each file that is none."""

import argparse
import contextlib
import gzip
import io
import os
import pickle
import sys
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskrcnn.checkpoints.reading import read_source
from tests.checkpoints.checkpoint_files import ARRAYS, STATE, WEIGHT, pickled, refused, saved, write_hdf5


def assert_is_state(tensors: dict[str, Tensor], expected: dict[str, Tensor] = STATE) -> None:
    assert list(tensors) == list(expected)  # in the file's order
    for name, tensor in expected.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", ["a.pth", "a.pkl", "a.h5", "no ending"])
def test_a_torch_file_whatever_its_name(tmp_path: Path, name: str, is_zip: bool):
    source = read_source(str(saved(tmp_path / name, STATE, _use_new_zipfile_serialization=is_zip)))
    assert_is_state(source.tensors)
    assert source.meta == {}
    assert source.path == tmp_path / name


@pytest.mark.parametrize("container", ["model", "state_dict", "model_state_dict", "model_ema"])
def test_the_state_dict_is_found_in_a_training_checkpoint(tmp_path: Path, container: str):
    content = {"epoch": 3, container: STATE, "optimizer": {"state": {0: {"momentum": WEIGHT}}, "lr": 0.1}}
    source = read_source(saved(tmp_path / "a.pth", content))
    assert_is_state(source.tensors)
    assert source.meta == {"epoch": 3, "optimizer": {"state": {0: {}}, "lr": 0.1}}


def test_a_dict_of_settings_is_not_taken_for_the_state(tmp_path: Path):
    content = {"model": {"name": "maskrcnn"}, "ema": {"weight": WEIGHT + 1}, "state_dict": {"model": STATE, "step": 5}}
    source = read_source(saved(tmp_path / "a.pth", content))
    assert_is_state(source.tensors)
    assert source.meta == {"model": {"name": "maskrcnn"}, "ema": {}, "step": 5}


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        ({"model": STATE, "model_ema": STATE}, ("the weights under model, not those under model_ema",)),
        (
            {"ema": {"module": STATE}, "teacher": STATE, "state_dict": {"model": STATE, "ema_state_dict": STATE}},
            ("the weights under state_dict.model, not those under teacher or ema_state_dict",),
        ),
        (  # as torchvision's reference scripts and mmengine keep their averages
            {"model": STATE, "a": {**{f"module.{n}": t for n, t in STATE.items()}, "n_averaged": torch.tensor(5)}},
            ("the weights under model, not those under a",),
        ),
        ({"model_ema": STATE, "optimizer": {"state": {0: {"momentum": WEIGHT}}}, "norms": {"mean": WEIGHT}}, ()),
        ({"backbone": WEIGHT, "extra": {"other": WEIGHT}}, ()),
    ],
)
def test_of_several_state_dicts_one_is_taken_and_said(tmp_path: Path, content: dict[str, Any], choices: tuple[str]):
    assert read_source(saved(tmp_path / "a.pth", content)).choices == choices


def test_a_checkpoint_of_torchvisions_reference_scripts(tmp_path: Path):
    arguments = argparse.Namespace(model="maskrcnn_resnet50_fpn", lr_steps=[16, 22], output=Path("/a/b"))
    content = {"model": OrderedDict(STATE), "lr_scheduler": {"milestones": [16, 22]}, "args": arguments, "epoch": 25}
    for is_zip in (True, False):
        source = read_source(saved(tmp_path / "a.pth", content, _use_new_zipfile_serialization=is_zip))
        assert_is_state(source.tensors)
        assert source.meta["args"] == {"model": arguments.model, "lr_steps": [16, 22], "output": str(arguments.output)}


class _Buffer:
    """Pickles as mmengine's HistoryBuffer does: arrays, and its own methods by name."""

    def __init__(self) -> None:
        self.history = np.arange(3.0)
        self.empty = np.array([], dtype=np.int64)

    def mean(self) -> float:
        return float(self.history.mean())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "statistics_methods": {"mean": _Buffer.mean}}


class _ConfigDict(dict):
    """As mmcv's: a dict with items and a state."""

    def __getstate__(self) -> object:
        return self


class _ReducedConfigDict(dict):
    """As mmengine's: called with a dict."""

    def __reduce_ex__(self, _: object) -> tuple[Any, ...]:
        return type(self), (dict(self),)


def under_the_name(kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> type:
    """`kind` as if it came from the package of `name`, which is not here."""
    module, _, kind.__name__ = name.rpartition(".")
    kind.__qualname__, kind.__module__ = kind.__name__, module
    stranger = ModuleType(module)
    setattr(stranger, kind.__name__, kind)
    for i in range(module.count(".")):
        monkeypatch.setitem(sys.modules, module.rsplit(".", i + 1)[0], ModuleType("package"))
    monkeypatch.setitem(sys.modules, module, stranger)
    return kind


def test_a_checkpoint_of_mmdetection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        # The methods are pickled by the name of their class, so that gets the stranger's name, too.
        buffer = under_the_name(_Buffer, "mmengine.logging.history_buffer.HistoryBuffer", patch)
        _Buffer.mean.__qualname__, _Buffer.mean.__module__ = "HistoryBuffer.mean", buffer.__module__
        old = under_the_name(_ConfigDict, "mmcv.utils.config.ConfigDict", patch)
        new = under_the_name(_ReducedConfigDict, "mmengine.config.config.ConfigDict", patch)
        meta = {
            "CLASSES": ("cell", "nucleus"),
            "dataset_meta": {"classes": ["cell"], "palette": [(1, 2, 3)], "ids": np.arange(2)},
            "mmdet_version": "3.3.0",
            "best": np.float64(0.5),
            "name": np.str_("näme"),
            "old": old(a=old(b=1)),
            "new": new(a=new(b=1)),
        }
        hub = {"log_scalars": {"train/loss": buffer()}, "runtime_info": {"iter": np.int64(3)}}
        saved(tmp_path / "a.pth", {"meta": meta, "state_dict": STATE, "message_hub": hub})
    source = read_source(tmp_path / "a.pth")
    assert_is_state(source.tensors)
    assert source.meta == {
        "meta": {
            "CLASSES": ("cell", "nucleus"),
            "dataset_meta": {"classes": ["cell"], "palette": [(1, 2, 3)]},
            "mmdet_version": "3.3.0",
            "best": 0.5,
            "name": "näme",
            "old": {"a": {"b": 1}},
            "new": {"a": {"b": 1}},
        },
        "message_hub": {"log_scalars": {}, "runtime_info": {"iter": 3}},
    }


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model."])
def test_a_wrappers_prefix_is_taken_off(tmp_path: Path, prefix: str):
    path = saved(tmp_path / "a.pth", {f"{prefix}{name}": tensor for name, tensor in STATE.items()})
    assert_is_state(read_source(path).tensors)


def test_the_counter_of_a_running_average_is_no_weight(tmp_path: Path):
    layer = torch.nn.Linear(3, 2)
    averaged = torch.optim.swa_utils.AveragedModel(layer, use_buffers=True)
    assert "n_averaged" in averaged.state_dict()
    assert_is_state(read_source(saved(tmp_path / "a.pth", averaged.state_dict())).tensors, layer.state_dict())
    of_mmengine = {"steps": torch.tensor(9), **{f"module.{name}": tensor for name, tensor in STATE.items()}}
    assert_is_state(read_source(saved(tmp_path / "b.pth", {"ema_state_dict": of_mmengine})).tensors)
    only = {"steps": torch.tensor(9)}
    assert_is_state(read_source(saved(tmp_path / "c.pth", only)).tensors, only)


def test_a_prefix_of_some_names_only_is_part_of_them(tmp_path: Path):
    state = {"module.weight": WEIGHT, "weight": WEIGHT}
    assert_is_state(read_source(saved(tmp_path / "a.pth", state)).tensors, state)


def test_what_is_no_tensor_in_a_state_dict_does_no_harm(tmp_path: Path):
    state: dict[Any, Any] = {**STATE, "version": "1", "text": np.array(["a", "b"]), "none": None, 3: WEIGHT}
    state["backbone.conv1.weight"] = torch.nn.Parameter(WEIGHT)
    source = read_source(saved(tmp_path / "a.pth", state))
    assert_is_state(source.tensors)
    assert not source.tensors["backbone.conv1.weight"].requires_grad
    assert source.meta == {"version": "1", "none": None}


def test_views_and_layouts_come_as_they_are(tmp_path: Path):
    kernel = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    state = {"kernel": kernel, "row": WEIGHT[1], "half": WEIGHT.half(), "bfloat": WEIGHT.bfloat16(), "no": WEIGHT[:0]}
    for is_zip in (True, False):
        path = saved(tmp_path / "a.pth", state, _use_new_zipfile_serialization=is_zip)
        assert_is_state(read_source(path).tensors, state)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_of_numpy_arrays(tmp_path: Path, protocol: int):
    content = {"model": ARRAYS, "__author__": "Detectron2 Model Zoo", "matching_heuristics": True}
    source = read_source(pickled(tmp_path / "a.pkl", content, protocol))
    assert_is_state(source.tensors)
    assert source.meta == {"__author__": "Detectron2 Model Zoo", "matching_heuristics": True}
    source.tensors["backbone.conv1.weight"] += 1  # the bytes of a pickle are read-only


@pytest.mark.parametrize("numpy_module", ["numpy.core", "numpy._core"])
def test_a_pickle_as_python_2_wrote_it(tmp_path: Path, numpy_module: str):
    # Protocol 2 with 8-bit strings, array bytes among them: BINSTRING (T) and SHORT_BINSTRING (U).
    raw = np.array([-1.5, 3.25], "<f4").tobytes()
    array = (
        f"c{numpy_module}.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85".encode("latin1")
        + b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    )  # fmt: skip
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}U\x05model}U\x06weight" + array + b"ss.")
    assert_is_state(read_source(tmp_path / "a.pkl").tensors, {"weight": torch.tensor([-1.5, 3.25])})


def arrays_of_all_kinds() -> dict[str, np.ndarray]:
    base = np.arange(24).reshape(2, 3, 4)
    kinds = ["<f4", ">f4", "<f2", ">f8", "<i8", ">i4", "|u1", "|i1", "|b1", "<c8"]
    arrays = {kind: base.astype(kind) for kind in kinds}
    arrays |= {"fortran": np.asfortranarray(base), "transposed": base.transpose(1, 0, 2), "part": base[:, ::2]}
    return arrays | {"scalar": np.array(3.0), "empty": np.zeros((0, 3)), "read-only": np.frombuffer(b"12345678")}


@pytest.mark.parametrize("protocol", [2, 4, 5, "zip"])
def test_arrays_of_every_kind_become_tensors(tmp_path: Path, protocol: int | str):
    arrays = arrays_of_all_kinds()
    if isinstance(protocol, int):
        path = pickled(tmp_path / "a.pkl", arrays, protocol)
    else:
        path = saved(tmp_path / "a.pth", arrays)
    expected = {name: torch.from_numpy(a.astype(a.dtype.newbyteorder("="))) for name, a in arrays.items()}
    assert_is_state(read_source(path).tensors, expected)


def test_safetensors_with_their_metadata(tmp_path: Path):
    save_file(STATE, tmp_path / "a.bin", {"format": "pt"})
    source = read_source(tmp_path / "a.bin")
    assert_is_state({name: source.tensors[name] for name in STATE})  # which that library sorts
    assert source.meta == {"format": "pt"}
    save_file(STATE, tmp_path / "b.bin")
    assert read_source(tmp_path / "b.bin").meta == {}


def as_tar_gz(path: Path, content: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(content, "model.pth")
    return path


OTHERS = {
    "is empty": b"",
    "a web page": b"\n<!DOCTYPE html>\n<html><head><title>404</title>",
    "a web page (HTML": b"\xef\xbb\xbf<html>",
    "a git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 177867103\n",
    "a compressed archive": gzip.compress(b"weights"),
    "an image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "no checkpoint: expected a torch file": b'{"message": "Not Found"}',
    "no checkpoint: ": b"0123456789",
    "damaged or truncated pickle": b"\x80\x02",
    "holds no named tensors": pickle.dumps({"weight": [1, 2]}),
    "holds no named tensors: ": pickle.dumps([WEIGHT.numpy()]),
    "holds no tensors": pickle.dumps({1: WEIGHT.numpy()}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path: Path, what: str):
    path = tmp_path / "model.pth"
    path.write_bytes(OTHERS[what])
    assert what in refused(path)


def test_archives_folders_and_programs_are_told_apart(tmp_path: Path):
    path = tmp_path / "model.pth"
    assert "a compressed archive: unpack" in refused(as_tar_gz(path, saved(tmp_path / "b.pth", STATE)))
    with tarfile.open(path, "w") as archive:
        archive.add(tmp_path / "b.pth", "model.pth")
    assert "a tar archive: unpack" in refused(path)
    assert read_source(saved(tmp_path / "a.safetensors", STATE)).tensors  # whatever it is called
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "b.pth", "model.pth")
    assert "a zip archive without torch's data.pkl: it holds model.pth" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:  # as torch.jit.save lays it out
        for member in ("data.pkl", "code/__torch__.py", "constants.pkl", "version"):
            archive.writestr(f"model/{member}", b"")
    assert "is a TorchScript archive" in refused(path)
    assert "a folder, expected a checkpoint file" in refused(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint file .*nowhere\.pth"):
        read_source(tmp_path / "nowhere.pth")
    if hasattr(os, "mkfifo"):  # reading from one would wait for ever
        os.mkfifo(tmp_path / "pipe")
        assert "expected a checkpoint file" in refused(tmp_path / "pipe")


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "safetensors", "hdf5"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, kind: str):
    path = tmp_path / "model.pth"
    if kind == "safetensors":
        save_file(STATE, path)
    elif kind == "hdf5":
        write_hdf5(path, {f"conv1/{name}:0": array for name, array in ARRAYS.items()}).close()
    elif kind == "pickle":
        pickled(path, {"model": ARRAYS})
    else:
        saved(path, STATE, _use_new_zipfile_serialization=kind == "zip")
    assert len(read_source(path).tensors) == 2
    whole = path.read_bytes()
    for length in {*range(1, min(len(whole), 200), 7), *range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1}:
        path.write_bytes(whole[:length])
        refused(path)


def test_noise_in_a_file_ends_in_weights_or_a_sentence(tmp_path: Path):
    # One byte changed at a time: a reader may not notice, but it ends in nothing but a ValueError.
    random = np.random.default_rng(0)
    buffer = io.BytesIO()
    torch.save({"model": ARRAYS}, buffer)
    for whole in (buffer.getvalue(), pickle.dumps({"model": ARRAYS}, 2), pickle.dumps({"model": ARRAYS}, 5)):
        for _ in range(100):
            damaged = bytearray(whole)
            damaged[random.integers(min(len(whole), 900))] = random.integers(256)
            (tmp_path / "a.pth").write_bytes(damaged)
            with contextlib.suppress(ValueError):
                read_source(tmp_path / "a.pth")
