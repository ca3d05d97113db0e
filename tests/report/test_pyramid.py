"""Pyramidal TIFFs: every level is the picture, and nothing but bands of it was ever held."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from maskrcnn.report import pyramid
from maskrcnn.report.pyramid import is_our_pyramid, write_pyramid


@pytest.mark.parametrize("size", [(300, 501), (129, 64), (64, 1000), (20, 30), (9, 300)])
def test_every_level_is_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setattr(pyramid, "TILE_PX", 32)
    monkeypatch.setattr(pyramid, "SMALLEST_PX", 64)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    asked: list[tuple[int, int]] = []

    def band(y0: int, y1: int) -> np.ndarray:
        asked.append((y0, y1))
        return image[y0:y1]

    path = tmp_path / "a.tif"
    write_pyramid(path, size, band, (0.5, 0.25))
    assert max(y1 - y0 for y0, y1 in asked) <= 32
    with tifffile.TiffFile(path) as file:
        levels = file.series[0].levels
        np.testing.assert_array_equal(levels[0].asarray(), image)
        expected = image.astype(float)
        for level in levels[1:]:
            h, w = max(1, expected.shape[0] // 2), max(1, expected.shape[1] // 2)
            part = expected[: 2 * h, : 2 * w]
            expected = part.reshape(h, 2, w, 2, 3).mean(axis=(1, 3))
            assert level.shape == (h, w, 3)
            assert np.abs(level.asarray() - expected).max() < 2.5
        assert max(levels[-1].shape) <= 64
        tags = file.pages.first.tags
        assert [tags[tag].value[0] / tags[tag].value[1] for tag in (282, 283)] == [40_000, 20_000]
    assert is_our_pyramid(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_other_tiffs_are_not_ours(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    assert not is_our_pyramid(tmp_path / "a.tif")


def test_what_cannot_be_made_leaves_no_file(tmp_path: Path) -> None:
    def band(y0: int, y1: int) -> np.ndarray:
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        write_pyramid(tmp_path / "a.tif", (100, 100), band)
    assert list(tmp_path.iterdir()) == []
