"""Files made to run code when they are read: each is refused in one sentence, and nothing has run."""

import io
import os
import pickle
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.checkpoints.reading import read_source
from maskrcnn.checkpoints.torch_files import LEGACY_MAGIC

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


class Call:
    """Unpickles to what `function` returns."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.parts: tuple[Any, ...] = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def in_zip(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def in_legacy(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[object], bytes]] = {
    "torch zip": in_zip,
    "torch legacy": in_legacy,
    **{f"pickle {protocol}": lambda content, n=protocol: pickle.dumps(content, n) for protocol in range(2, 6)},
}


def open_for_writing(marker: str) -> str:
    return f"open({marker!r}, 'w').close()"


def with_object_array(marker: str) -> object:
    array = np.array([None, None], dtype=object)
    array[1] = Call(eval, open_for_writing(marker))
    return {"weight": array}


BOMBS: dict[str, Callable[[str], object]] = {
    "os.system": lambda marker: {
        "model": {"weight": WEIGHT},
        "epoch": Call(os.system, f'{sys.executable} -c "{open_for_writing(marker)}"'),
    },
    "eval": lambda marker: Call(eval, open_for_writing(marker)),
    "exec in a key": lambda marker: {Call(exec, open_for_writing(marker)): WEIGHT},
    "torch's own careless reader": lambda marker: OrderedDict(
        weight=Call(torch.storage._load_from_bytes, in_zip(Call(eval, open_for_writing(marker))))
    ),
    "a folder that is made": lambda marker: {"weight": WEIGHT, "log": [Call(os.mkdir, marker)]},
    "an object array": with_object_array,
    "an attribute of a module": lambda marker: {
        "x": Call(getattr, Call(__import__, "os"), "name"),
        "y": Call(eval, open_for_writing(marker)),
    },
}


def run_carelessly(written: bytes) -> None:
    if written.startswith(b"PK") or LEGACY_MAGIC in written[:32]:
        torch.load(io.BytesIO(written), weights_only=False)
    else:
        pickle.loads(written)


def refused(path: Path, written: bytes) -> str:
    """The one sentence that reading it ends with."""
    path.write_bytes(written)
    with pytest.raises(ValueError, match=r"\S") as error:
        read_source(path)
    sentence = str(error.value)
    print(f"\n{sentence}")
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_in_a_file_is_run(tmp_path: Path, writer: str, bomb: str):
    marker = tmp_path / "has_run"
    written = WRITERS[writer](BOMBS[bomb](str(marker)))
    sentence = refused(tmp_path / "a.pth", written)
    assert not marker.exists()
    assert "not run" in sentence
    if bomb != "os.system":  # which would start a Python for every writer
        run_carelessly(written)
        assert marker.exists(), "the bomb itself is a dud"


def test_os_system_is_a_real_bomb(tmp_path: Path):
    run_carelessly(pickle.dumps(BOMBS["os.system"](str(tmp_path / "has_run"))))
    assert (tmp_path / "has_run").exists()


@pytest.mark.parametrize("writer", ["torch zip", "torch legacy"])
def test_what_others_allowed_in_this_process_is_neither_used_nor_forgotten(tmp_path: Path, writer: str):
    # Another package may have let torch call real functions; here they are still refused, or inert.
    with torch.serialization.safe_globals([(eval, "builtins.eval"), (np.ndarray, "numpy.ndarray"), np.dtype]):
        before = torch.serialization.get_safe_globals()
        marker = tmp_path / "has_run"
        assert "builtins.eval" in refused(tmp_path / "a.pth", WRITERS[writer](BOMBS["eval"](str(marker))))
        assert not marker.exists()
        (tmp_path / "b.pth").write_bytes(WRITERS[writer]({"weight": WEIGHT}))
        assert read_source(tmp_path / "b.pth").tensors["weight"].tolist() == WEIGHT.tolist()
        assert set(torch.serialization.get_safe_globals()) == set(before)


def test_the_environment_cannot_open_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "has_run"
    refused(tmp_path / "a.pth", in_zip(BOMBS["eval"](str(marker))))
    assert not marker.exists()


def test_getattr_gives_nothing(tmp_path: Path):
    # mmengine's log buffers name their methods by it.
    (tmp_path / "a.pth").write_bytes(in_zip({"model": {"weight": WEIGHT}, "x": Call(getattr, "text", "upper")}))
    assert read_source(tmp_path / "a.pth").meta == {"x": None}


@pytest.mark.parametrize("writer", WRITERS)
def test_an_object_array_is_refused_even_when_it_is_harmless(tmp_path: Path, writer: str):
    written = WRITERS[writer]({"weight": np.array([1, "two"], dtype=object)})
    assert "dtype 'O8'" in refused(tmp_path / "a.pth", written)


def array_of(shape: tuple[Any, ...], dtype: object, raw: bytes) -> Call:
    """Unpickles as an array of numpy does, with a state of our choice."""
    array = Call(WEIGHT.__reduce__()[0], np.ndarray, (0,), b"b")  # type: ignore[arg-type]
    array.parts = *array.parts, (1, shape, dtype, False, raw)
    return array


@pytest.mark.parametrize("bad", ["V8", "O", "f4, (1000000,)f4", "M8"])
def test_only_dtypes_of_numbers_are_made(tmp_path: Path, bad: str):
    array = array_of((2,), Call(np.dtype, bad), b"")
    assert "only plain numbers" in refused(tmp_path / "a.pkl", pickle.dumps({"weight": array}, 2))


@pytest.mark.parametrize(("shape", "raw"), [((10**9,), b"1234"), ((-1, -1), b"1234"), ((2,), b"1234"), (("a",), b"")])
def test_an_array_has_the_bytes_it_claims(tmp_path: Path, shape: tuple[Any, ...], raw: bytes):
    array = array_of(shape, np.dtype("f4"), raw)
    refused(tmp_path / "a.pkl", pickle.dumps({"weight": array}, 2))


def test_a_tensor_has_the_values_it_claims(tmp_path: Path):
    assert "fewer values" in refused(tmp_path / "a.pth", in_zip({"weight": torch.zeros(1).expand(10**6, 10**6)}))


@pytest.mark.parametrize(
    ("opcodes", "why"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "a place in the memo that would take gigabytes"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "a string as long as memory can be addressed"),
        (b"\x80\x05\x96\x00\x00\x00\x00\x04\x00\x00\x00.", "16 gigabytes of zeros to read into"),
        (b"\x80\x02\x82\x01.", "an extension code"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "an object that lies elsewhere"),
        (b"\x80\x02c_codecs\nencode\n}U\x04nameU\x01xsb.", "a state for a function"),
        (b"\x80\x02cnumpy\nndarray\n}U\x05shapeK\x01sb.", "a state for a class"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "another codec"),
        (b"\x80\x02cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.", "two gigabytes of zeros"),
        (b"\x80\x02" + b"(" * 10_000 + b"l" * 10_000 + b".", "lists in lists"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pickle_of_a_few_bytes_does_no_harm(tmp_path: Path, opcodes: bytes, why: str):
    refused(tmp_path / "a.pkl", opcodes)


def test_lists_of_lists_of_the_same_list_are_not_copied_for_ever(tmp_path: Path):
    endless: list[Any] = ["x"]
    for _ in range(30):
        endless = [endless] * 10  # 10^30 values in a few hundred bytes
    itself: list[Any] = []
    itself.append(itself)
    content = {"model": {"weight": WEIGHT}, "epoch": 3, "itself": itself, "endless": endless}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert read_source(tmp_path / "a.pkl").meta == {"epoch": 3}


def repacked(written: bytes, compression: int, data: Callable[[bytes], bytes] = bytes) -> bytes:
    """A torch zip archive packed again, with another pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(written)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, data(old.read(name)) if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


def test_compressed_bytes_are_not_taken_for_weights(tmp_path: Path):
    weight = torch.arange(1000.0)
    written = in_zip({"weight": weight})
    assert "compressed again" in refused(tmp_path / "a.pth", repacked(written, zipfile.ZIP_DEFLATED))
    (tmp_path / "a.pth").write_bytes(repacked(written, zipfile.ZIP_STORED))
    assert torch.equal(read_source(tmp_path / "a.pth").tensors["weight"], weight)


@pytest.mark.parametrize("writer", [in_zip, in_legacy])
def test_a_tensor_larger_than_the_file_is_refused(tmp_path: Path, writer: Callable[[object], bytes]):
    def enlarged(data: bytes) -> bytes:
        assert data.count(b"K\x08") == 2  # elements of the storage and of the tensor
        return data.replace(b"K\x08", b"J\x00\x00\x10\x00")

    written = writer({"weight": torch.arange(8.0)})
    written = enlarged(written) if writer is in_legacy else repacked(written, zipfile.ZIP_STORED, enlarged)
    assert re.search("claims 1048576 values|damaged or truncated", refused(tmp_path / "a.pth", written))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_pickled_model_is_told_from_a_state_dict(tmp_path: Path, writer: str):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    for content in (model, {"model": model, "epoch": 3}):
        assert "holds a whole pickled model" in refused(tmp_path / "a.pth", WRITERS[writer](content))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", range(6))
def test_torch_files_of_any_protocol_end_in_weights_or_a_sentence(tmp_path: Path, protocol: int):
    for is_zip in (False, True):
        path = tmp_path / f"{is_zip}.pth"
        torch.save({"weight": torch.ones(2)}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
        if protocol in (2, 3) or (protocol == 1 and is_zip):
            assert read_source(path).tensors["weight"].tolist() == [1, 1]
        else:
            refused(path, path.read_bytes())
