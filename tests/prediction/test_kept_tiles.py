"""A job that is killed in a large picture goes on at its tile."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import maskrcnn
from maskrcnn.prediction.file_state import state_of
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.kept_tiles import TileFiles
from maskrcnn.prediction.tiles import Grid
from maskrcnn.structures.instances import Instances
from tests.tiny import scene

GRID = Grid((64, 80), 32, 8)


class Killed(BaseException):
    pass


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    image = np.tile(scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))[0], (2, 2, 1))
    Image.fromarray(image).save(tmp_path / "slide.png")
    return tmp_path / "slide.png"


def test_a_killed_job_goes_on_at_its_tile(
    slide: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu", tile=64)
    detect, seen = predictor.model.detect, list[int]()

    def job(out: str, until: int = 10**6, **options: Any) -> dict[str, int]:
        seen.clear()

        def counted(images: object) -> object:
            if len(seen) == until:
                raise Killed
            seen.append(1)
            return detect(images)  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr(predictor.model, "detect", counted)
        return infer_files(predictor, [slide], tmp_path / out, say=lambda _: None, **options).counts[0][1]

    expected = job("whole")
    num = len(seen)
    assert num > 8
    with pytest.raises(Killed):
        job("out", until=5)
    assert len(list((tmp_path / "out" / ".done" / "tiles").rglob("*.pt"))) == 5
    assert job("out") == expected
    assert len(seen) == num - 5
    assert (tmp_path / "out/instances.json").read_bytes() == (tmp_path / "whole/instances.json").read_bytes()
    assert not (tmp_path / "out" / ".done").exists()
    with pytest.raises(Killed):
        job("changed", until=5)
    job("changed", classes=predictor.class_names[:1])
    assert len(seen) == num, "tiles that were done under other settings are not taken"


def test_other_settings_another_file_or_damage_count_for_nothing(slide: Path, tmp_path: Path) -> None:
    y0, x0, y1, x1 = GRID[3].window
    found = Instances.empty((y1 - y0, x1 - x0), ("a",))
    files = TileFiles(tmp_path, "settings", state_of(slide))
    files.save(GRID, 3, found)
    loaded = files.load(GRID, 3)
    assert loaded is not None
    assert loaded.image_size == found.image_size
    assert files.load(GRID, 4) is None
    assert files.load(Grid((64, 80), 32, 9), 3) is None
    assert TileFiles(tmp_path, "others", state_of(slide)).load(GRID, 3) is None
    (file,) = tmp_path.rglob("*.pt")
    for damage in (file.read_bytes()[:100], b"", b"garbage"):
        file.write_bytes(damage)
        assert files.load(GRID, 3) is None
    slide.write_bytes(slide.read_bytes() + b"\0")
    assert TileFiles(tmp_path, "settings", state_of(slide)).load(GRID, 3) is None
    files.remove()
    assert not list(tmp_path.rglob("*.pt"))


def test_a_full_disk_is_no_fault_of_a_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")

    (tmp_path / "a.png").touch()
    found = Instances.empty((32, 32), ("a",))
    monkeypatch.setattr("torch.save", fail)
    with pytest.raises(OSError, match=r"a tile cannot be kept; is the disk full\?"):
        TileFiles(tmp_path, "key", state_of(tmp_path / "a.png")).save(GRID, 0, found)
