"""Which file a name means."""

import hashlib
from pathlib import Path

import pytest

from maskrcnn.checkpoints import manifest, weights
from maskrcnn.checkpoints.manifest import Entry
from maskrcnn.checkpoints.weights import weights_path


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the entries that would be downloaded; the working folder is an empty one."""
    names: list[str] = []

    def fetch(entry: Entry) -> Path:
        names.append(entry.name)
        return tmp_path / "cache" / entry.file

    monkeypatch.setattr(weights, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    return names


def test_a_folder_that_is_called_as_an_entry_of_the_zoo_does_not_hide_it(fetched: list[str], tmp_path: Path):
    Path("coco").mkdir()  # where a COCO data set lies
    assert weights_path("coco") == tmp_path / "cache" / "model_final_a3ec72.pkl"
    assert fetched == ["detectron2-r101-3x"]


def test_a_file_of_that_name_comes_first(fetched: list[str]):
    Path("coco").write_bytes(b"weights")
    assert weights_path("coco") == Path("coco")
    assert fetched == []


def test_any_other_folder_is_told_from_a_file(fetched: list[str]):
    Path("run").mkdir()
    for name in ("last", "best"):
        Path(f"run/{name}.safetensors").touch()
    with pytest.raises(
        FileNotFoundError, match=r"got the folder run; files in it: best\.safetensors, last\.safetensor"
    ):
        weights_path("run")
    with pytest.raises(FileNotFoundError, match="no weights named 'coko' and no such file"):
        weights_path("coko")
    assert fetched == []


def test_shipped_weights_are_the_ones_that_were_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = weights.shipped_weights()["nuclei"].read_bytes()
    assert hashlib.sha256(whole).hexdigest() == manifest.shipped_sums()["nuclei"]
    damaged = bytearray(whole)
    damaged[-1000] ^= 1
    (tmp_path / "nuclei.safetensors").write_bytes(damaged)
    monkeypatch.setattr(weights, "shipped_weights", lambda: {"nuclei": tmp_path / "nuclei.safetensors"})
    for name in ("nuclei", None):
        with pytest.raises(ValueError, match="damaged: not the file that came with the package"):
            weights.load_weights(name)
