"""torch's files are read as torch reads them, and those that claim what they have not are refused."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.checkpoints.reading import read_source
from tests.checkpoints.test_unpickling import in_legacy, in_zip, refused, repacked


@pytest.mark.parametrize("writer", [in_zip, in_legacy])
def test_one_tensor_under_a_thousand_names_is_not_copied_a_thousand_times(
    tmp_path: Path, writer: Callable[[object], bytes]
):
    shared = torch.zeros(1 << 20)
    assert "far more values" in refused(tmp_path / "a.pth", writer({f"w{i}": shared for i in range(100)}))
    array = np.zeros(1 << 20, np.float32)
    assert "far more values" in refused(tmp_path / "a.pkl", pickle.dumps({f"w{i}": array for i in range(100)}, 2))


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        ({"file_size": 1 << 40}, "compressed again"),
        ({"file_size": 1 << 31, "compress_size": 1 << 31}, "claims"),
        ({"header_offset": 1 << 31}, "not where its table says"),
        ({"filename": "archive/data.pkl"}, "two members"),
    ],
)
def test_zips_that_lie(tmp_path: Path, lie: dict[str, Any], sentence: str):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(io.BytesIO(in_zip({"weight": torch.arange(8.0)}))) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(f"archive/{name.partition('/')[2]}", old.read(name))
        for field, value in lie.items():
            setattr(new.getinfo("archive/data/0"), field, value)
    assert sentence in refused(path, path.read_bytes())


def test_a_zip_with_a_huge_table(tmp_path: Path):
    written = bytearray(repacked(in_zip({"weight": torch.ones(2)}), zipfile.ZIP_STORED))
    end = written.rfind(b"PK\5\6")
    written[end + 12 : end + 16] = b"\xff\xff\xff\x7f"
    assert "claims a table of" in refused(tmp_path / "a.pth", bytes(written))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("writer", [in_zip, in_legacy])
def test_the_same_tensors_as_torch_reads(tmp_path: Path, writer: Callable[[object], bytes], dtype: torch.dtype):
    whole = (torch.arange(24) % 3).reshape(2, 3, 4).to(dtype)
    content = {"plain": whole, "turned": whole.permute(2, 0, 1), "part": whole[1, 1:, ::2], "one": whole[0, 0, 0]}
    content |= {"empty": whole[:0], "parameter": torch.nn.Parameter(whole.clone(), requires_grad=False)}
    (tmp_path / "a.pth").write_bytes(writer(content))
    ours, theirs = read_source(tmp_path / "a.pth").tensors, torch.load(tmp_path / "a.pth", weights_only=True)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, theirs[name])
