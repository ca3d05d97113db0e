"""Windows of a picture, and its overview made from them."""

import numpy as np
import pytest

from maskrcnn.data.slides import source as sources
from maskrcnn.data.slides.source import ArraySource, Source, shrink


def test_an_array_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    numbers = image[..., :1].astype(np.uint16) * 7
    source = ArraySource(image, numbers, (0.5, 0.25))
    assert isinstance(source, Source)
    assert (source.size, source.pixel_size_um) == ((70, 90), (0.5, 0.25))
    np.testing.assert_array_equal(source.window((10, 20, 30, 60)), image[10:30, 20:60])
    np.testing.assert_array_equal(source.numbers((10, 20, 30, 60)), numbers[10:30, 20:60])
    np.testing.assert_array_equal(ArraySource(image).numbers((0, 0, 5, 6)), image[:5, :6])
    np.testing.assert_array_equal(source.overview(90), image)


def shrunk(image: np.ndarray, longest_px: int) -> np.ndarray:
    return shrink(ArraySource(image).window, (image.shape[0], image.shape[1]), longest_px)


@pytest.mark.parametrize("block_px", [10**4, 64, 7])
def test_an_overview_is_the_mean_of_each_area_however_it_is_read(
    block_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BLOCK_PX", block_px)
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    small = shrunk(image, 50)
    assert small.shape == (30, 50, 3)
    expected = image.reshape(30, 4, 50, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).max() <= 0.51
    # Sides that the factor does not divide, and one that shrinks to less than a pixel.
    assert shrunk(image[:101, :150], 40).shape == (27, 40, 3)
    assert shrunk(np.full((1, 1000, 3), 9, np.uint8), 10).tolist() == [[[9, 9, 9]] * 10]
