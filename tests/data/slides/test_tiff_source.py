"""TIFFs read by windows: whatever the layout, a window is that part of what the file holds."""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from maskrcnn.data import pages
from maskrcnn.data.pages import Reading, Slide, open_pages
from maskrcnn.data.pictures.limits import ImageError, ImageTooLargeError
from maskrcnn.data.slides import segments, tiff_source

SIZE = (200, 333)
READING = Reading()
WINDOWS = ((0, 0, 200, 333), (31, 60, 97, 333), (150, 0, 200, 65), (64, 64, 65, 65))


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes a TIFF, and opens it as a slide."""
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    with ExitStack() as stack:

        def make(pixels: np.ndarray, reading: Reading = READING, page: int = 0, **how: Any) -> Slide | None:
            path = tmp_path / "slide.tif"
            if how:
                tifffile.imwrite(path, pixels, **how)
            return stack.enter_context(open_pages(path, reading)).slide(page)

        yield make


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    "how",
    [
        {"tile": (64, 48), "compression": "zlib"},
        {"tile": (64, 64)},
        {"rowsperstrip": 7, "compression": "zlib"},
        {"rowsperstrip": 7},  # one after the other: read by rows
        {},
        {"tile": (64, 64), "bigtiff": True, "byteorder": ">"},
        {"tile": (64, 64), "planarconfig": "separate", "compression": "zlib"},
        {"planarconfig": "separate"},
    ],
)
@pytest.mark.parametrize("shape", [(*SIZE, 3), SIZE])
def test_a_window_is_a_part_of_the_picture(opened: Any, how: dict[str, Any], shape: tuple[int, ...]) -> None:
    if len(shape) == 2:
        how = {key: value for key, value in how.items() if key != "planarconfig"}
    rgb = noise(shape)
    stored = np.moveaxis(rgb, 2, 0) if how.get("planarconfig") == "separate" else rgb
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    slide = opened(stored, photometric=photometric, **how)
    assert slide is not None
    assert slide.source.size == SIZE
    as_stored = rgb if rgb.ndim == 3 else rgb[..., None]
    for y0, x0, y1, x1 in WINDOWS:
        expected = np.broadcast_to(as_stored, (*SIZE, 3))[y0:y1, x0:x1]
        np.testing.assert_array_equal(slide.source.window((y0, x0, y1, x1)), expected)
        np.testing.assert_array_equal(slide.source.numbers((y0, x0, y1, x1)), as_stored[y0:y1, x0:x1])


def test_only_the_tiles_of_a_window_are_decoded_and_kept_up_to_a_limit(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_source, "CACHE_BYTES", 3 * 64 * 64 * 3)
    slide = opened(noise((*SIZE, 3)), photometric="rgb", tile=(64, 64), compression="zlib")
    decoded: list[int] = []
    directory = slide.source._directories[0, 0]
    decode = directory._decode
    directory._decode = lambda data, number, **rest: (decoded.append(number), decode(data, number, **rest))[1]
    slide.source.window((0, 0, 64, 128))
    assert decoded == [1]  # the first was decoded when the file was opened
    slide.source.window((10, 10, 60, 120))
    assert decoded == [1]
    slide.source.window((70, 70, 80, 80))
    slide.source.window((70, 140, 80, 150))
    slide.source.window((0, 0, 64, 64))
    assert decoded == [1, 7, 8, 0]
    assert directory._cache._bytes <= 3 * 64 * 64 * 3


def test_sixteen_bits_have_one_range_for_all_windows(opened: Any) -> None:
    """Dark on the left, bright on the right: by a range of its own each side would look the same."""
    numbers = noise(SIZE, "uint16")
    numbers[:, 170:] += 40_000
    source = opened(numbers, tile=(64, 64)).source
    whole = source.window((0, 0, *SIZE))
    low, high = np.percentile(numbers, (0.1, 99.9))
    assert source.value_range == (low, high)
    np.testing.assert_allclose(whole[..., 0], np.clip((numbers - low) / (high - low) * 255, 0, 255), atol=0.5)
    np.testing.assert_array_equal(source.window((10, 0, 60, 100)), whole[10:60, :100])
    assert source.window((10, 0, 60, 100)).max() < 3
    assert source.numbers((10, 200, 11, 202)).tolist() == numbers[10:11, 200:202, None].tolist()


def test_the_range_of_a_large_slide_is_that_of_an_overview_or_of_spread_windows(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tiff_source, "SAMPLE_PIXELS", 1200)
    monkeypatch.setattr(tiff_source, "SAMPLE_PX", 8)
    numbers = np.full((320, 320), 1000, np.uint16)
    numbers[:, :160] = 3000
    numbers[7, 7] = 60_000
    source = opened(numbers, tile=(64, 64)).source
    assert source.value_range[0] == 1000
    assert 3000 <= source.value_range[1] < 60_000
    with tifffile.TiffWriter(tmp_path / "slide.tif") as file:
        file.write(numbers, tile=(64, 64), subifds=2)
        for small in (numbers[::2, ::2], np.full((80, 80), 7, np.uint16)):
            file.write(small, tile=(64, 64), subfiletype=1)
    source = opened(numbers).source
    assert source.value_range == (7, 8)  # a lie of the overview shows where it was looked for
    np.testing.assert_array_equal(source.window((0, 0, 10, 10)) == 255, True)


def test_the_overview_is_that_of_the_file_where_it_has_one(opened: Any, tmp_path: Path) -> None:
    rgb = noise((*SIZE, 3))
    small = noise((100, 166, 3)) // 2
    with tifffile.TiffWriter(tmp_path / "slide.tif") as file:
        file.write(rgb, photometric="rgb", tile=(64, 64), subifds=1)
        file.write(small, photometric="rgb", tile=(64, 64), subfiletype=1)
    source = opened(rgb).source
    np.testing.assert_array_equal(source.overview(166), small)
    assert source.overview(83).shape == (50, 83, 3)
    assert source.overview(300).shape == (180, 300, 3)
    assert source.overview(83).mean() < 60 < source.overview(300).mean()


@pytest.mark.parametrize("ome", [True, False])
def test_planes_channels_and_pages(opened: Any, ome: bool) -> None:
    """Depth as its maximum, the channel that was asked for, the page of a time."""
    numbers = noise((2, 3, 2, *SIZE))  # T Z C
    how = {"metadata": {"axes": "TZCYX"}, "photometric": "minisblack"}
    how |= {"ome": True, "tile": (64, 64)} if ome else {"imagej": True}
    if not ome:
        numbers = numbers.astype(np.uint16)
    slide = opened(numbers, Reading(channel=1), 1, **how)
    assert (slide.number, slide.place) == (1, {"T": 1})
    expected = numbers[1, :, 1].max(axis=0)
    np.testing.assert_array_equal(slide.source.numbers((5, 6, 90, 100))[..., 1], expected[5:90, 6:100])
    assert slide.source.numbers((5, 6, 90, 100)).shape == (85, 94, 2)
    if ome:
        np.testing.assert_array_equal(slide.source.window((5, 6, 90, 100))[..., 0], expected[5:90, 6:100])
    highest = opened(numbers, Reading(channel="max", planes=2), 0, **how).source
    got = highest.window((5, 6, 90, 100))[..., 0].astype(int)
    expected = numbers[0, 2].max(axis=0)[5:90, 6:100]
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.999


def test_inverted_and_transparent_slides(opened: Any) -> None:
    grey = noise(SIZE)
    source = opened(grey, photometric="miniswhite", tile=(64, 64)).source
    np.testing.assert_array_equal(source.window((3, 4, 50, 60))[..., 0], 255 - grey[3:50, 4:60])
    np.testing.assert_array_equal(source.numbers((3, 4, 50, 60))[..., 0], 255 - grey[3:50, 4:60])
    rgba = np.dstack([noise((*SIZE, 3)), np.full(SIZE, 255, np.uint8)])
    rgba[:, 100:, 3] = 0
    how = {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (64, 64)}
    source = opened(rgba, **how).source
    np.testing.assert_array_equal(source.window((0, 0, 200, 100)), rgba[:, :100, :3])
    assert (source.window((0, 100, 200, 300)) == 255).all()  # also where all of a window is transparent
    rgba[..., 3] = 0
    np.testing.assert_array_equal(opened(rgba, **how).source.window((0, 0, 200, 100)), rgba[:, :100, :3])


def test_tiles_that_the_file_leaves_out_are_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    path = tmp_path / "sparse.tif"
    tile = noise((64, 64, 3))

    tiles = (zlib.compress(tile.tobytes()) if i == 5 else b"" for i in range(16))
    with tifffile.TiffWriter(path) as file:
        file.write(tiles, shape=(256, 256, 3), dtype="uint8", photometric="rgb", tile=(64, 64), compression="zlib")
    with open_pages(path) as opened:
        slide = opened.slide()
        assert slide is not None
        image = slide.source.window((0, 0, 256, 256))
    np.testing.assert_array_equal(image[64:128, 64:128], tile)
    assert image.sum() == tile.sum()


def test_what_has_no_windows_is_read_whole(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = noise((*SIZE, 3))
    turned = {"photometric": "rgb", "tile": (64, 64), "extratags": [(274, "H", 1, 6, True)]}
    assert opened(rgb, **turned) is None
    monkeypatch.setattr(tiff_source, "SEGMENT_BYTES", 10_000)
    assert opened(rgb, photometric="rgb", rowsperstrip=200, compression="zlib") is None
    assert opened(rgb, photometric="rgb", rowsperstrip=200) is not None  # its rows lie there for the taking
    monkeypatch.setattr(pages, "SLIDE_PIXELS", SIZE[0] * SIZE[1])
    assert opened(rgb, photometric="rgb", tile=(32, 32)) is None


def test_a_limit_that_was_asked_for_holds_for_slides_and_the_default_does_not(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("maskrcnn.data.pictures.limits.default_max_pixels", lambda: 50_000)
    assert opened(noise(SIZE), tile=(64, 64)).source.size == SIZE
    with open_pages(tmp_path / "slide.tif") as file, pytest.raises(ImageTooLargeError, match="more than the"):
        file.read()
    with pytest.raises(ImageTooLargeError, match=r"333 x 200 px are 0\.0666 megapixels, more than the 0\.05 allowed"):
        opened(noise(SIZE), Reading(max_pixels=50_000), tile=(64, 64))


def test_damaged_slides_say_so(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    slide = opened(noise((*SIZE, 3)), photometric="rgb", tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offsets, counts = file.pages[0].dataoffsets, file.pages[0].databytecounts
    data = bytearray(path.read_bytes())
    data[offsets[3] : offsets[3] + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"slide\.tif: tile or strip 3 is damaged"):
        opened(None).source.window((0, 190, 10, 200))
    path.write_bytes(data[: offsets[9] + counts[9] // 2])
    with pytest.raises(ImageError, match=r"slide\.tif"):
        opened(None).source.window((0, 0, *SIZE))
    del slide


def test_a_tile_cannot_unpack_to_more_than_its_pixels_need(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SLACK", 0)
    with pytest.raises(ImageError, match="a tile of 76800 bytes takes 76800 in the file"):
        opened(np.zeros((*SIZE, 3), np.uint8), photometric="rgb", tile=(160, 160))  # 76,800 bytes, more than 65,536


@pytest.mark.extra
def test_jpeg_tiles_of_a_slide_scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as Aperio writes it: JPEG tiles, a thumbnail, an overview, and the size of a pixel in its description."""
    pytest.importorskip("imagecodecs")
    monkeypatch.setattr(pages, "SLIDE_PIXELS", 1000)
    yy, xx = np.mgrid[:512, :768]
    rgb = np.stack([yy // 3, xx // 4, (yy + xx) // 6], axis=2).astype(np.uint8)
    about = "Aperio Image Library v11.2.1\r\n768x512 [0,0 768x512] (256x256) JPEG/RGB Q=90|AppMag = 20|MPP = 0.499"
    how: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.svs") as file:
        file.write(rgb, tile=(256, 256), description=about, compressionargs={"level": 95}, **how)
        file.write(rgb[::4, ::4], description=about, **how)  # the thumbnail
        file.write(rgb[::2, ::2], tile=(256, 256), description=about, subfiletype=1, **how)
    with open_pages(tmp_path / "a.svs") as opened:
        slide = opened.slide()
        assert slide is not None
        assert slide.source.size == (512, 768)
        got = slide.source.window((100, 200, 400, 700)).astype(int)
        assert np.abs(got - rgb[100:400, 200:700]).mean() < 2
        assert slide.pixel_size_um == (0.499, 0.499)


def test_a_codec_that_is_not_there_is_named_with_its_extra(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = opened(noise((*SIZE, 3)), photometric="rgb", tile=(64, 64), compression="zlib")

    def decode(*_: object, **__: object) -> None:
        raise ValueError("<COMPRESSION.JPEG: 7> requires the 'imagecodecs' package")

    slide.source._directories[0, 0]._decode = decode
    with pytest.raises(ImageError, match=r"need the extra slides \(pip install 'maskrcnn\[slides\]'\)"):
        slide.source.window((100, 100, 120, 120))
