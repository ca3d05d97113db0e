"""Pages of stacks, series and animations: which there are, and what each is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import maskrcnn
from maskrcnn.data.images import PartOfFile, read_image, to_rgb
from maskrcnn.data.pages import Page, Reading, open_pages, read_pages
from maskrcnn.data.pictures import limits
from maskrcnn.data.pictures.limits import ImageError
from maskrcnn.data.pictures.pixels import stretch_to_uint8

SIZE = (40, 52)


def numbers(*lead: int, dtype: str = "uint8") -> np.ndarray:
    """Different in every page, plane and channel."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(sum(lead)).integers(0, top, (*lead, *SIZE), dtype=dtype, endpoint=True)


def grey(pages: Sequence[Page]) -> np.ndarray:
    assert all(np.array_equal(page.image[..., 0], page.image[..., i]) for page in pages for i in (1, 2))
    return np.stack([page.image[..., 0] for page in pages])


def pages_of(path: Path, **options: Any) -> list[Page]:
    with open_pages(path, Reading(**options)) as file:
        assert file.num_pages >= 1
        return [file.read(number) for number in range(file.num_pages)]


# Which pages there are ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "shape", "options"),
    [
        ("YX", (), {}),
        ("TYX", (4,), {"imagej": True}),
        ("TYX", (4,), {"ome": True}),
        ("TPYX", (3, 2), {"ome": True}),
        ("QYX", (5,), {}),
        ("QQYX", (2, 3), {}),
    ],
)
def test_every_page_of_time_position_and_unknown_meaning(
    tmp_path: Path, axes: str, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    stack = numbers(*shape)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata={"axes": axes}, **options)
    pages = pages_of(tmp_path / "a.tif")
    flat = stack.reshape(-1, *SIZE)
    assert np.array_equal(grey(pages), flat)
    assert np.array_equal(np.stack([page.numbers[..., 0] for page in pages]), flat)
    assert [page.number for page in pages] == (list(range(len(flat))) if shape else [None])
    letters = [letter for letter in axes if letter in "TP"] if shape else []
    places = [dict(zip(letters, place, strict=True)) for place in np.ndindex(*shape)] if letters else [{}] * len(pages)
    assert [dict(page.place) for page in pages] == places


def test_pages_of_several_sizes(tmp_path: Path) -> None:
    first, second = numbers(2), numbers()[:20]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(first, photometric="minisblack", metadata=None)
        writer.write(second, photometric="minisblack", metadata=None)
    pages = pages_of(tmp_path / "a.tif")
    assert [page.image.shape[0] for page in pages] == [40, 40, 20]
    assert np.array_equal(pages[2].image[..., 0], second)
    assert [page.place["series"] for page in pages] == [0, 0, 1]


def test_pictures_of_an_ome_file_are_all_read(tmp_path: Path) -> None:
    stacks = [numbers(2, 3), numbers(2, 4)]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for stack in stacks:
            writer.write(stack, photometric="minisblack", metadata={"axes": "TCYX"})
    pages = pages_of(tmp_path / "a.ome.tif", channel=1)
    assert np.array_equal(grey(pages), np.concatenate([stack[:, 1] for stack in stacks]))


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_frames_of_an_animation(tmp_path: Path, name: str) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    # From the second on only what changes is stored.
    frames = [Image.new("RGB", (16, 12), colours[0]) for _ in colours]
    for i, frame in enumerate(frames):
        frame.paste(colours[i], (2 * i, 0, 2 * i + 4, 12))
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True, duration=100)
    pages = pages_of(tmp_path / name)
    assert len(pages) == len(frames)
    for page, frame in zip(pages, frames, strict=True):
        assert np.array_equal(page.image, np.asarray(frame))
    with open_pages(tmp_path / name) as file:  # and in any order
        for number in (3, 0, 2, 2, 1):
            assert np.array_equal(file.read(number).image, np.asarray(frames[number]))


def test_the_stand_in_of_an_apng_is_no_page(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), value) for value in (9, 50, 60)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], default_image=True)
    assert [int(page.image[0, 0, 0]) for page in pages_of(tmp_path / "a.png")] == [50, 60]


def test_a_file_of_one_picture(tmp_path: Path) -> None:
    Image.fromarray(numbers()).save(tmp_path / "a.png")
    (page,) = read_pages(tmp_path / "a.png")
    assert (page.number, page.place, page.notes, page.channel_names) == (None, {}, (), None)
    assert np.array_equal(page.image, read_image(tmp_path / "a.png"))


def test_the_package_offers_it(tmp_path: Path) -> None:
    stack = numbers(3)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    assert np.array_equal(grey(list(maskrcnn.read_pages(tmp_path / "a.tif"))), stack)
    assert np.array_equal(read_image(tmp_path / "a.tif", page=2)[..., 0], stack[2])  # without a warning
    with pytest.warns(PartOfFile, match="only the first is read"):
        assert np.array_equal(read_image(tmp_path / "a.tif")[..., 0], stack[0])
    with pytest.raises(ImageError, match=r"a\.tif: no page 3 in this file, which has 3, from 0"):
        read_image(tmp_path / "a.tif", page=3)


def test_pages_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers(50), photometric="minisblack", metadata=None)
    decoded: list[int] = []
    asarray = tifffile.TiffPage.asarray

    def counted(page: Any, *rest: Any, **options: Any) -> np.ndarray:
        decoded.append(page.index)
        return asarray(page, *rest, **options)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", counted)
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", counted, raising=False)
    reading = read_pages(tmp_path / "a.tif")
    for _ in range(3):
        next(reading)
    assert len(decoded) <= 3


def test_more_pages_than_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskrcnn.data.pictures.tiff_layout.MAX_PAGES", 3)
    monkeypatch.setattr("maskrcnn.data.pages.MAX_PAGES", 3)
    assert limits.MAX_PAGES > 3
    tifffile.imwrite(tmp_path / "a.tif", numbers(4), photometric="minisblack")
    frames = [Image.new("L", (8, 8), value) for value in range(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    for name in ("a.tif", "a.gif"):
        with pytest.raises(ImageError, match=rf"{name}: 4 .*, more than the 3 allowed"):
            next(read_pages(tmp_path / name))


# Depth --------------------------------------------------------------------------------------------


@pytest.fixture
def volume(tmp_path: Path) -> tuple[Path, np.ndarray]:
    stack = numbers(2, 5, dtype="uint16")
    tifffile.imwrite(tmp_path / "z.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    return tmp_path / "z.tif", stack


def test_depth_is_read_as_its_maximum_and_that_is_said(volume: tuple[Path, np.ndarray]) -> None:
    path, stack = volume
    pages = pages_of(path)
    assert np.array_equal(np.stack([page.numbers[..., 0] for page in pages]), stack.max(1))
    assert pages[0].notes == ("5 planes of depth are read as their maximum",)
    assert np.array_equal(pages[1].image[..., 0], stretch_to_uint8(stack[1].max(0)))


def test_sum_one_plane_and_each(volume: tuple[Path, np.ndarray]) -> None:
    path, stack = volume
    summed = pages_of(path, planes="sum")
    assert np.array_equal(np.stack([page.numbers[..., 0] for page in summed]), stack.sum(1, dtype=np.uint64))
    assert summed[0].notes == ("5 planes of depth are read as their sum",)
    third = pages_of(path, planes=3)
    assert np.array_equal(np.stack([page.numbers[..., 0] for page in third]), stack[:, 3])
    assert third[0].notes == ("of 5 planes of depth number 3 is read",)
    each = pages_of(path, planes="each")
    assert np.array_equal(np.stack([page.numbers[..., 0] for page in each]), stack.reshape(10, *SIZE))
    assert each[7].place == {"T": 1, "Z": 2}
    assert each[7].notes == ()
    with pytest.raises(ImageError, match=r"z\.tif: no plane 5 of depth in this file, which has 5, from 0"):
        pages_of(path, planes=5)
    with pytest.raises(ValueError, match="planes: expected max, sum, each or the number of a plane from 0, got 'min'"):
        Reading(planes="min")  # pyright: ignore[reportArgumentType]


def test_bright_planes_win_also_where_zero_is_white(tmp_path: Path) -> None:
    stack = numbers(3)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="miniswhite", metadata={"axes": "ZYX"})
    (page,) = pages_of(tmp_path / "a.tif")
    assert np.array_equal(page.image[..., 0], 255 - stack.min(0))
    assert np.array_equal(page.numbers[..., 0], 255 - stack.min(0))


def test_pages_of_unknown_meaning_are_depth_where_that_is_said(tmp_path: Path) -> None:
    stack = numbers(4)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata=None)
    assert len(pages_of(tmp_path / "a.tif")) == 4
    (page,) = pages_of(tmp_path / "a.tif", planes="max")
    assert np.array_equal(page.image[..., 0], stack.max(0))
    assert page.notes == ("4 pages, as planes of depth, are read as their maximum",)
    assert len(pages_of(tmp_path / "a.tif", planes="each")) == 4
    tifffile.imwrite(tmp_path / "t.tif", stack, imagej=True, metadata={"axes": "TYX"})
    assert len(pages_of(tmp_path / "t.tif", planes="max")) == 4  # time is no depth


# Channels -----------------------------------------------------------------------------------------


def composite(path: Path, names: list[str]) -> np.ndarray:
    stack = numbers(2, len(names), dtype="uint16")
    tifffile.imwrite(path, stack, metadata={"axes": "TCYX", "Channel": {"Name": names}}, ome=True)
    return stack


@pytest.mark.parametrize("stain", ["DAPI", "dapi-405", "Hoechst 33342", "DRAQ5", "Nuclei", "H2B-GFP", "DNA", "SYTO13"])
def test_the_channel_of_the_nuclei_is_taken_and_that_is_said(tmp_path: Path, stain: str) -> None:
    stack = composite(tmp_path / "a.ome.tif", ["GFP", stain, "brightfield"])
    pages = pages_of(tmp_path / "a.ome.tif", looks_for=("nucleus",))
    for page, channels in zip(pages, stack, strict=True):
        assert np.array_equal(page.image[..., 0], stretch_to_uint8(channels[1]))
        assert np.array_equal(page.numbers, channels.transpose(1, 2, 0))  # all are measured
        assert page.channel_names == ("GFP", stain, "brightfield")
        assert page.notes == (f"of 3 channels 1 '{stain}' is taken, as its name says",)


def test_nothing_is_taken_that_nobody_looks_for(tmp_path: Path) -> None:
    composite(tmp_path / "a.ome.tif", ["GFP", "DAPI"])
    for looks_for in ((), ("person", "car"), ("cell",)):
        with pytest.raises(ImageError, match="2 channels that are not RGB"):
            pages_of(tmp_path / "a.ome.tif", looks_for=looks_for)
    composite(tmp_path / "b.ome.tif", ["mitochondria", "membrane"])
    assert pages_of(tmp_path / "b.ome.tif", looks_for=("membrane",))[0].notes[0].startswith("of 2 channels 1 'memb")
    composite(tmp_path / "c.ome.tif", ["DAPI", "Hoechst"])
    with pytest.raises(ImageError, match="2 channels that are not RGB"):  # which of the two?
        pages_of(tmp_path / "c.ome.tif", looks_for=("nucleus",))


def test_channels_are_listed_with_name_mean_and_contrast(tmp_path: Path) -> None:
    stack = np.zeros((3, *SIZE), np.uint16)
    stack[0] = 100
    stack[1, :, ::2] = 60  # mean 30, standard deviation 30
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "CYX", "Labels": ["red", "", "ir"]})
    expected = (
        "3 channels that are not RGB (0 'red': mean 100, contrast 0.00; 1: mean 30, contrast 1.00; 2 'ir': mean 0); "
        "expected to be told which channel to take, by number or name, or the maximum of all"
    )
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "a.tif")
    assert str(error.value).endswith(expected)


def test_names_in_any_case_and_the_maximum(tmp_path: Path) -> None:
    stack = composite(tmp_path / "a.ome.tif", ["GFP", "405"])
    for channel, at in (("gfp", 0), ("405", 1), (405, 1), (1, 1)):
        page = pages_of(tmp_path / "a.ome.tif", channel=channel)[0]
        assert np.array_equal(page.image[..., 0], stretch_to_uint8(stack[0, at]))
        assert page.notes == ()
    page = pages_of(tmp_path / "a.ome.tif", channel="max")[1]
    assert np.array_equal(page.image[..., 0], stretch_to_uint8(stack[1].max(0)))
    assert page.numbers.shape == (*SIZE, 2)


def test_a_predictors_classes_choose_the_channel(tmp_path: Path) -> None:
    stack = composite(tmp_path / "a.ome.tif", ["GFP", "DAPI"])
    with pytest.warns(PartOfFile, match="2 pages .*; only the first is read; of 2 channels 1 'DAPI' is taken"):
        image = to_rgb(tmp_path / "a.ome.tif", looks_for=("nucleus",))
    assert np.array_equal(image[..., 0], stretch_to_uint8(stack[0, 1]))


@pytest.mark.parametrize("order", ["TZCYX", "TCZYX", "ZTCYX", "CTZYX"])
@pytest.mark.parametrize("kind", ["ome", "imagej", "shaped"])
def test_all_axes_together(tmp_path: Path, order: str, kind: str) -> None:
    stack = numbers(2, 3, 4)  # T Z C
    stored = stack.transpose(*("TZCYX".index(axis) for axis in order))
    if kind == "imagej":  # which knows one order only
        stored, order = stack, "TZCYX"
    options: dict[str, Any] = {"imagej": True} if kind == "imagej" else {"ome": True} if kind == "ome" else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", metadata={"axes": order}, **options)
    pages = pages_of(tmp_path / "a.tif", channel=2)
    assert np.array_equal(grey(pages), stack[:, :, 2].max(1))
    assert np.array_equal(pages[1].numbers, stack[1].max(0).transpose(1, 2, 0))
    each = pages_of(tmp_path / "a.tif", channel=2, planes="each")
    assert len(each) == 6
    by_place = {(page.place["T"], page.place["Z"]): page for page in each}
    assert np.array_equal(by_place[1, 2].image[..., 0], stack[1, 2, 2])


def test_channels_and_time_of_colours(tmp_path: Path) -> None:
    film = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", film, photometric="rgb", metadata={"axes": "TYXS"})
    assert all(np.array_equal(page.image, one) for page, one in zip(pages_of(tmp_path / "a.tif"), film, strict=True))


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("channels", [3, 4, 2, 6])
def test_channels_last_saved_as_pages(tmp_path: Path, lead: tuple[int, ...], channels: int) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (*lead, *SIZE, channels), dtype=np.uint8)
    if channels == 4:
        stack[..., 3] = 255
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata={})
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        if tiff.pages[0].shape != (SIZE[1], channels):  # pyright: ignore[reportAttributeAccessIssue]
            pytest.skip("this version of tifffile saves it otherwise")
    is_colour = channels in (3, 4)
    pages = pages_of(tmp_path / "a.tif", channel=None if is_colour else 1)
    assert len(pages) == (lead[0] if lead else 1)
    for page, one in zip(pages, stack.reshape(-1, *SIZE, channels), strict=True):
        assert np.array_equal(page.image, one[..., :3] if is_colour else np.repeat(one[..., 1:2], 3, 2))


# The size of a pixel ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}}, (0.5, 0.25)),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "YX",
                    "PhysicalSizeX": 65,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 65,
                    "PhysicalSizeYUnit": "nm",
                },
            },
            (0.065, 0.065),
        ),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, (0.25, 0.25)),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "micron"}}, (0.25, 0.25)),
        ({"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}, (1.0, 0.5)),
        ({"resolution": (25400, 25400), "resolutionunit": "INCH"}, (1.0, 1.0)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),  # of a screen, as programs write it
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),  # of a print
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "pixel"}}, None),
        ({"resolution": (0, 0), "resolutionunit": "CENTIMETER"}, None),
        ({}, None),
    ],
)
def test_pixel_size(tmp_path: Path, options: dict[str, Any], expected: tuple[float, float] | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers(), **options)
    (page,) = pages_of(tmp_path / "a.tif")
    assert page.pixel_size_um == (expected if expected is None else pytest.approx(expected, rel=1e-6))
