"""TIFF of every sample format against the numbers that were written; what files of several pages and channels say."""

import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from maskrcnn.data.images import ImageError, PartOfFile, read_image
from maskrcnn.data.pictures.pixels import stretch_to_uint8

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
STORED: list[dict[str, Any]] = [
    {},
    {"tile": (16, 16)},
    {"rowsperstrip": 7},
    {"compression": "deflate"},
    {"compression": "deflate", "tile": (16, 16)},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"byteorder": ">", "bigtiff": True, "rowsperstrip": 5},
]


def numbers(dtype: str, *shape: int) -> np.ndarray:
    """Values that use the type: negative where there are such, beyond 2^31 in uint32."""
    rng = np.random.default_rng(0)
    if dtype.startswith("float"):
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min // 2, info.max, shape, dtype=dtype, endpoint=True)


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """What is expected of (H, W) or (H, W, 3) numbers: 8 bits as they are, others stretched, colours together."""
    pixels = pixels if pixels.dtype == np.uint8 else stretch_to_uint8(pixels)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("stored", STORED, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_grey_chunky_and_planar(tmp_path: Path, dtype: str, stored: dict[str, Any]) -> None:
    path = tmp_path / "a.tif"
    grey, colour = numbers(dtype, 40, 52), numbers(dtype, 40, 52, 3)
    tifffile.imwrite(path, grey, photometric="minisblack", **stored)
    assert np.array_equal(read_image(path), as_rgb(grey))
    tifffile.imwrite(path, colour, photometric="rgb", **stored)
    assert np.array_equal(read_image(path), as_rgb(colour))
    tifffile.imwrite(path, colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", **stored)
    assert np.array_equal(read_image(path), as_rgb(colour)), "planar"


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_is_white(tmp_path: Path, dtype: str) -> None:
    grey = numbers(dtype, 40, 52)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite")
    assert np.array_equal(read_image(tmp_path / "a.tif"), 255 - as_rgb(grey))


def test_uint32_across_2_to_31_by_hand(tmp_path: Path) -> None:
    # Read as signed, the last would be the smallest. The percentiles of 3 numbers are 0.2% inside the ends.
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 2**31 - 1, 2**32 - 1]], np.uint32), photometric="minisblack")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 127, 255]


def test_planar_16_bit_colours_by_hand(tmp_path: Path) -> None:
    # Red, then green; read as stripes the rows would be mixed.
    planes = np.zeros((3, 2, 2), np.uint16)
    planes[0, 0], planes[1, 1] = 4000, 4000
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert read_image(tmp_path / "a.tif").tolist() == [[[255, 0, 0]] * 2, [[0, 255, 0]] * 2]


@pytest.mark.parametrize("stored", [{}, {"compression": "deflate"}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit(tmp_path: Path, photometric: str, stored: dict[str, Any]) -> None:
    bits = np.random.default_rng(0).random((37, 41)) > 0.5
    tifffile.imwrite(tmp_path / "a.tif", bits, photometric=photometric, **stored)
    expected = np.where(bits == (photometric == "minisblack"), 255, 0)
    assert np.array_equal(read_image(tmp_path / "a.tif"), np.repeat(expected[..., None], 3, 2))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_palette(tmp_path: Path, dtype: str) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (3, 2 ** (8 * np.dtype(dtype).itemsize)))
    index = numbers(dtype, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=(colours * 257).astype(np.uint16))
    assert np.array_equal(read_image(tmp_path / "a.tif"), colours.T[index])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 65535), ("float32", 1.0)])
def test_alpha(tmp_path: Path, dtype: str, opaque: float, planar: str) -> None:
    # Full red: opaque, half, hidden. Over white green and blue are 255 * (1 - alpha).
    rgba = np.array([[[1, 0, 0, 1], [1, 0, 0, 0.5], [1, 0, 0, 0]]])
    premultiplied = rgba * [1, 1, 1, 1]
    premultiplied[..., :3] *= rgba[..., 3:]
    for kind, pixels in (("unassalpha", rgba), ("assocalpha", premultiplied)):
        stored = (pixels * opaque).astype(dtype)
        stored = stored.transpose(2, 0, 1) if planar == "separate" else stored
        path = tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, extrasamples=[kind])
        expected = [[255, 0, 0], [255, 128, 128], [255, 255, 255]]
        assert np.abs(read_image(path)[0].astype(int) - expected).max() <= 1, kind


def test_grey_with_alpha_and_a_fourth_sample_that_is_none(tmp_path: Path) -> None:
    grey = np.array([[[0, 255], [0, 0]]], np.uint8)
    tifffile.imwrite(tmp_path / "la.tif", grey, photometric="minisblack", planarconfig="contig", extrasamples=[2])
    assert read_image(tmp_path / "la.tif").tolist() == [[[0] * 3, [255] * 3]]
    rgbx = np.array([[[9, 8, 7, 0], [9, 8, 7, 99]]], np.uint8)
    tifffile.imwrite(tmp_path / "rgbx.tif", rgbx, photometric="rgb", extrasamples=[0])
    assert read_image(tmp_path / "rgbx.tif").tolist() == [[[9, 8, 7]] * 2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_orientation(tmp_path: Path, dtype: str, orientation: int) -> None:
    pixels = np.arange(6).reshape(2, 3).astype(dtype) * 50
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", extratags=[(274, 3, 1, orientation, True)])
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(as_rgb(pixels)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.tif"), read_image(tmp_path / "a.png"))


# Codecs -------------------------------------------------------------------------------------------


def without_imagecodecs() -> bool:
    try:
        tifffile.TIFF.DECOMPRESSORS[5]
    except KeyError:
        return True
    return False


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "jpeg", "group4", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
def test_what_pillow_writes_is_read_with_every_codec(tmp_path: Path, mode: str, compression: str) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 52), dtype=np.uint8)
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1], np.full_like(grey, 255)])
    source = Image.fromarray(colour)
    picture = {"I;16": Image.fromarray(grey.astype(np.uint16) * 257), "F": Image.fromarray(grey.astype(np.float32))}
    picture = picture[mode] if mode in picture else source.convert("RGB").convert(mode) if mode != "RGBA" else source
    try:
        picture.save(tmp_path / "a.tif", compression=compression)
    except (OSError, RuntimeError, ValueError):
        pytest.skip("libtiff writes no such file")
    with Image.open(tmp_path / "a.tif") as again:
        expected = np.asarray(again) if mode in ("I;16", "F") else np.asarray(again.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "a.tif"), as_rgb(expected))


def test_deep_colour_with_lzw(tmp_path: Path) -> None:
    colour = numbers("uint16", 40, 52, 3)
    cv2.imwrite(str(tmp_path / "a.tif"), colour[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    assert np.array_equal(read_image(tmp_path / "a.tif"), as_rgb(colour))


@pytest.mark.skipif(not without_imagecodecs(), reason="imagecodecs is there")
def test_a_codec_that_is_not_there_is_named(tmp_path: Path) -> None:
    # Planar 16-bit, called LZW afterwards: what libtiff would read as stripes.
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers("uint16", 3, 40, 52), photometric="rgb", planarconfig="separate")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags[259].overwrite(5)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ImageError, match=r"a\.tif: LZW compression of 16-bit RGB pixels needs the extra imagecodecs "):
        read_image(path)


# Pages, planes, channels --------------------------------------------------------------------------


def test_pages_are_said_and_the_first_is_read(tmp_path: Path) -> None:
    pages = numbers("uint8", 4, 40, 52)
    for name, options in (("time.tif", {"imagej": True, "metadata": {"axes": "TYX"}}), ("unknown.tif", {})):
        tifffile.imwrite(tmp_path / name, pages, photometric="minisblack", **options)
        with pytest.warns(PartOfFile, match=rf"{name}: the file has 4 pages \(axes .YX of 4 x 40 x 52\); only "):
            image = read_image(tmp_path / name)
        assert np.array_equal(image, as_rgb(pages[0]))


def test_depth_becomes_its_maximum(tmp_path: Path) -> None:
    planes = numbers("uint8", 5, 40, 52)
    tifffile.imwrite(tmp_path / "z.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    with pytest.warns(PartOfFile, match=r"z\.tif: 5 planes of depth are read as their maximum$"):
        image = read_image(tmp_path / "z.tif")
    assert np.array_equal(image, as_rgb(planes.max(0)))


def test_a_channel_has_to_be_named(tmp_path: Path) -> None:
    stack = numbers("uint16", 2, 40, 52)
    path = tmp_path / "c.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}})
    with pytest.raises(ImageError, match=r"2 channels that are not RGB \(0 'GFP': mean .*; 1 'DAPI': mean .*\); ex"):
        read_image(path)
    assert np.array_equal(read_image(path, channel="DAPI"), as_rgb(stack[1]))
    assert np.array_equal(read_image(path, channel=0), as_rgb(stack[0]))
    assert np.array_equal(read_image(path, channel="max"), as_rgb(stack.max(0)))
    for wrong in ("RFP", 2, -1):
        with pytest.raises(ImageError, match=rf"no channel {wrong!r} in this file, which has 0 'GFP', 1 'DAPI'"):
            read_image(path, channel=wrong)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_that_are_no_colours_are_channels(tmp_path: Path, planar: str) -> None:
    stack = numbers("uint8", 5, 40, 52)
    stored = stack.transpose(1, 2, 0) if planar == "contig" else stack
    tifffile.imwrite(tmp_path / "s.tif", stored, photometric="minisblack", planarconfig=planar)
    with pytest.raises(ImageError, match=r"s\.tif: 5 channels that are not RGB \(0: mean "):
        read_image(tmp_path / "s.tif")
    assert np.array_equal(read_image(tmp_path / "s.tif", channel=3), as_rgb(stack[3]))


@pytest.mark.parametrize("order", ["TZCYX", "TCZYX"])
def test_channel_and_depth_of_the_first_time(tmp_path: Path, order: str) -> None:
    stack = numbers("uint8", 2, 3, 4, 40, 52)  # times, planes, channels
    stored = stack if order == "TZCYX" else stack.transpose(0, 2, 1, 3, 4)
    tifffile.imwrite(tmp_path / "a.ome.tif", stored, metadata={"axes": order})
    with pytest.warns(PartOfFile, match="2 pages .*; only the first is read; 3 planes of depth are read as their max"):
        image = read_image(tmp_path / "a.ome.tif", channel=1)
    assert np.array_equal(image, as_rgb(stack[0, :, 1].max(0)))


def test_rgba_saved_as_pages_is_recognised(tmp_path: Path) -> None:
    rgba = numbers("uint8", 40, 52, 4)
    rgba[..., 3] = 255
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 40
    assert np.array_equal(read_image(tmp_path / "a.tif"), rgba[..., :3])


def test_pages_behind_one_directory(tmp_path: Path) -> None:
    stack = numbers("uint16", 3, 40, 52)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"}, contiguous=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        at, description = tiff.series[0].dataoffset, tiff.pages[0].description  # pyright: ignore
    assert description
    data = tmp_path / "b.tif"
    tifffile.imwrite(data, stack, imagej=True, metadata={"axes": "ZYX"})
    raw = bytearray(data.read_bytes())
    with tifffile.TiffFile(data) as tiff:  # as ImageJ writes more than 4 GB: the first directory is the last
        page = tiff.pages[0]
        end = page.offset + 2 + 12 * len(page.tags)  # pyright: ignore[reportAttributeAccessIssue]
    raw[end : end + 4] = bytes(4)
    data.write_bytes(raw)
    assert at
    with pytest.warns(PartOfFile, match="3 planes of depth"):
        image = read_image(data)
    assert np.array_equal(image, as_rgb(stack.max(0)))


def test_a_pyramid_is_one_picture(tmp_path: Path) -> None:
    large = numbers("uint8", 64, 96, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(large, photometric="rgb", tile=(16, 16), subifds=1)
        writer.write(large[::2, ::2], photometric="rgb", tile=(16, 16), subfiletype=1)
    assert np.array_equal(read_image(tmp_path / "a.tif"), large)


def test_a_second_picture_of_another_size_is_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(numbers("uint8", 64, 96), photometric="minisblack")
        writer.write(numbers("uint8", 30, 40), photometric="minisblack")
    with pytest.warns(PartOfFile, match=r"a\.tif: the file has 2 pages \(.*, and 1 more series\); only the first"):
        assert read_image(tmp_path / "a.tif").shape == (64, 96, 3)


# Damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"rowsperstrip": 4}, {"tile": (16, 16)}], ids=str)
def test_cut_off(tmp_path: Path, options: dict[str, Any]) -> None:
    written = io.BytesIO()
    tifffile.imwrite(written, numbers("uint16", 64, 96), photometric="minisblack", **options)
    data = written.getvalue()
    for size in (len(data) // 2, len(data) - 10, 200, 20, 9):
        (tmp_path / "a.tif").write_bytes(data[:size])
        expected = f"cut off: it has {size} bytes" if size > 1000 else ""
        with pytest.raises(ImageError, match=rf"a\.tif: .*{expected}"):
            read_image(tmp_path / "a.tif")


def test_complex_numbers_are_no_picture(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.complex64), photometric="minisblack")
    with pytest.raises(ImageError, match=r"a\.tif: expected numbers, got complex64 pixels"):
        read_image(tmp_path / "a.tif")
