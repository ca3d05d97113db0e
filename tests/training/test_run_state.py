"""last.pt is believed only as a whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrcnn.training.run_state import KEYS, load_run_state, save_run_state

CPU = torch.device("cpu")


def state() -> dict[str, Any]:
    model = {"a": torch.arange(300.0), "b": torch.ones(3, 4)}
    return dict.fromkeys(KEYS, 1) | {"config": "{}", "model": model}


def test_comes_back(tmp_path: Path):
    save_run_state(state(), tmp_path)
    found = load_run_state(tmp_path, CPU)
    assert tuple(found) == KEYS
    assert torch.equal(found["model"]["a"], torch.arange(300.0))


def test_a_flipped_bit_is_noticed_or_without_effect(tmp_path: Path):
    save_run_state(state(), tmp_path)
    whole = (tmp_path / "last.pt").read_bytes()
    num_refused, rng = 0, np.random.default_rng(0)
    for position in rng.integers(len(whole) * 8, size=300).tolist():
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        (tmp_path / "last.pt").write_bytes(damaged)
        try:
            found = load_run_state(tmp_path, CPU)
        except ValueError:
            num_refused += 1
        else:
            assert all(torch.equal(found["model"][name], value) for name, value in state()["model"].items())
            assert {k: v for k, v in found.items() if k != "model"} == {
                k: v for k, v in state().items() if k != "model"
            }
    assert num_refused > 250


def test_a_checkpoint_of_an_older_version_is_still_read(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    torch.save(state(), tmp_path / "last.pt")
    caplog.set_level("INFO", "maskrcnn")
    assert tuple(load_run_state(tmp_path, CPU)) == KEYS
    assert "without a checksum of the whole" in caplog.text
    whole = bytearray((tmp_path / "last.pt").read_bytes())
    whole[whole.index(torch.arange(8.0).numpy().tobytes()) + 6] ^= 1
    (tmp_path / "last.pt").write_bytes(whole)
    with pytest.raises(ValueError, match=r"damaged, the checksum of .* does not fit"):
        load_run_state(tmp_path, CPU)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (torch.zeros(3), "expected the checkpoint of a run, got a Tensor"),
        ({k: v for k, v in state().items() if k != "optimizer"}, "got a file without optimizer"),
        (state() | {"epoch": 3}, "got a file with epoch"),
        ({"model": {}}, "without config, progress, optimizer"),
    ],
)
def test_other_files_are_one_sentence(tmp_path: Path, content: Any, sentence: str):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=sentence) as caught:
        load_run_state(tmp_path, CPU)
    assert "\n" not in str(caught.value)


class Payload:
    """Unpickled by a reader that runs what it reads, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("has_sum", [True, False])
def test_nothing_in_it_is_run(tmp_path: Path, has_sum: bool):
    hostile = state() | {"progress": Payload(tmp_path / "made")}
    if has_sum:
        save_run_state(hostile, tmp_path)
    else:
        torch.save(hostile, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="not a checkpoint of a run, or a damaged one"):
        load_run_state(tmp_path, CPU)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"short", b"as long as a mark and a sum would be, " * 9])
def test_a_file_without_an_end_is_no_checkpoint(tmp_path: Path, content: bytes):
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(ValueError, match="not a checkpoint of a run, or a damaged one"):
        load_run_state(tmp_path, CPU)


def test_a_whole_one_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "maskrcnn")
    save_run_state(state(), tmp_path)
    load_run_state(tmp_path, CPU)
    assert caplog.text == ""


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 215424 vs 215312")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match=r"the checkpoint cannot be written; is the disk full\?: '.*last\.pt'"):
        save_run_state(state(), tmp_path)
    assert list(tmp_path.iterdir()) == []
