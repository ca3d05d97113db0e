"""Every kind of picture comes in as RGB uint8, upright; every unusable one is refused in one sentence with its name."""

import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from maskrcnn.data.images import ImageError, ImageTooLargeError, PartOfFile, read_image, stretch_to_uint8, to_rgb

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def scene() -> np.ndarray:
    """6 x 9, no two corners alike."""
    image = np.zeros((6, 9, 3), np.uint8)
    image[..., 0] = np.arange(9) * 25
    image[..., 1] = np.arange(6)[:, None] * 40
    return image


def _check_form(image: np.ndarray) -> None:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "webp", "ppm", "tga"])
def test_lossless_formats_give_the_stored_pixels(tmp_path: Path, scene: np.ndarray, extension: str) -> None:
    path = tmp_path / f"bild_ü_{extension}.{extension}"
    Image.fromarray(scene).save(path, lossless=True)
    image = read_image(path)
    _check_form(image)
    assert np.array_equal(image, scene)
    assert image.flags["WRITEABLE"]


def test_the_extension_does_not_matter(tmp_path: Path, scene: np.ndarray) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(scene).save(path, format="PNG")
    assert np.array_equal(read_image(str(path)), scene)


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), RED).save(tmp_path / "one.png")
    assert read_image(tmp_path / "one.png").tolist() == [[list(RED)]]


# EXIF ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp"])
def test_exif_orientation_is_applied_once(tmp_path: Path, scene: np.ndarray, extension: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{extension}"
    Image.fromarray(scene).save(path, exif=exif, quality=100, lossless=True, subsampling=0)
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image))
    assert expected.shape == ((6, 9, 3) if orientation < 5 else (9, 6, 3))
    assert np.array_equal(read_image(path), expected)
    with Image.open(path) as image:
        assert np.array_equal(to_rgb(image), expected)
        assert np.array_equal(to_rgb(ImageOps.exif_transpose(image)), expected), "turned twice"


def test_orientation_6_by_hand(tmp_path: Path) -> None:
    # 6: the stored left column is the top row of the scene, read from bottom to top.
    stored = np.array([[RED, GREEN], [BLUE, (9, 9, 9)]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "6.png", exif=exif)
    assert read_image(tmp_path / "6.png").tolist() == [[list(BLUE), list(RED)], [[9, 9, 9], list(GREEN)]]


def test_damaged_exif_is_ignored(tmp_path: Path, scene: np.ndarray) -> None:
    Image.fromarray(scene).save(tmp_path / "exif.png", exif=b"Exif\0\0not a TIFF header")
    assert np.array_equal(read_image(tmp_path / "exif.png"), scene)


# Modes --------------------------------------------------------------------------------------------


def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "L.png")
    assert np.array_equal(read_image(tmp_path / "L.png"), np.repeat(grey[..., None], 3, axis=2))

    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([*RED, *GREEN])
    palette.save(tmp_path / "P.gif")
    assert read_image(tmp_path / "P.gif").tolist() == [[list(RED), list(GREEN)]]

    Image.fromarray(np.array([[True, False]])).save(tmp_path / "1.tif")
    assert read_image(tmp_path / "1.tif").tolist() == [[[255] * 3, [0] * 3]]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    assert read_image(tmp_path / "c.tif")[0, 0].tolist() == list(RED)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    # Opaque red, hidden black, and half of black over white: (0 * 128 + 255 * 127) / 255 = 127.
    rgba = np.array([[[*RED, 255], [0, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    expected = [[list(RED), [255] * 3, [127] * 3]]
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png").tolist() == expected
    assert to_rgb(rgba).tolist() == expected

    Image.fromarray(rgba[..., 2:]).save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png").tolist() == [[[0] * 3, [255] * 3, [127] * 3]]

    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([*RED, *GREEN])
    palette.save(tmp_path / "p.png", transparency=1)
    assert read_image(tmp_path / "p.png").tolist() == [[list(RED), [255] * 3]]


def test_a_wholly_transparent_picture_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (*RED, 0)).save(tmp_path / "rgba.png")
    assert (read_image(tmp_path / "rgba.png") == RED).all()


def test_first_page_of_several(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (3, 2), color) for color in (RED, GREEN)]
    for name in ("stack.tif", "film.webp"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], lossless=True)
        with pytest.warns(PartOfFile, match=rf"{name}: the file has 2 (pages|frames).*; only the first is read$"):
            image = read_image(tmp_path / name)
        assert (image == RED).all()


# More than 8 bits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("grey.png", np.uint16), ("grey.tif", np.uint16), ("grey.tif", np.int32), ("grey.tif", np.float32)],
)
def test_deep_grey_is_stretched(tmp_path: Path, name: str, dtype: type) -> None:
    deep = (np.arange(64).reshape(8, 8) * 60 + 100).astype(dtype)  # as of a 12-bit camera
    Image.fromarray(deep).save(tmp_path / name)
    image = read_image(tmp_path / name)
    _check_form(image)
    assert np.array_equal(image, np.repeat(stretch_to_uint8(deep)[..., None], 3, axis=2))
    assert (image.min(), image.max()) == (0, 255)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_deep_colour_keeps_its_low_bits(tmp_path: Path, scene: np.ndarray, extension: str) -> None:
    deep = scene.astype(np.uint16)  # all in the low byte, which reading 8 bits would throw away
    cv2.imwrite(str(tmp_path / f"deep.{extension}"), deep[..., ::-1])
    assert np.array_equal(read_image(tmp_path / f"deep.{extension}"), stretch_to_uint8(deep))


def test_deep_transparency(tmp_path: Path) -> None:
    deep = np.zeros((1, 2, 4), np.uint16)
    deep[0, 0] = (0, 0, 4000, 65535)  # BGRA
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert read_image(tmp_path / "deep.png").tolist() == [[list(RED), [255] * 3]]


def test_float_colour(tmp_path: Path, scene: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "float.tif"), scene[..., ::-1].astype(np.float32) / 255)
    assert np.array_equal(read_image(tmp_path / "float.tif"), stretch_to_uint8(scene.astype(np.float32) / 255))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["png", "tif"])
def test_deep_colour_is_turned(tmp_path: Path, scene: np.ndarray, extension: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene).save(tmp_path / "shallow.png", exif=exif)
    path = tmp_path / f"deep.{extension}"
    deep = scene.astype(np.uint16) * 257
    path.write_bytes(_deep_png(deep, exif) if extension == "png" else _deep_tiff(deep, orientation))
    assert np.array_equal(read_image(path), _stretched_like(read_image(tmp_path / "shallow.png"), deep))


def _stretched_like(turned: np.ndarray, deep: np.ndarray) -> np.ndarray:
    """What turning changes is only the order, so the stretched values follow from those of the upright picture."""
    table = dict(zip((deep // 257).reshape(-1).tolist(), stretch_to_uint8(deep).reshape(-1).tolist(), strict=True))
    return np.vectorize(table.__getitem__)(turned).astype(np.uint8)


def _deep_png(pixels: np.ndarray, exif: Image.Exif) -> bytes:
    """OpenCV's 16-bit PNG with an eXIf chunk put in."""
    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    start = data.index(b"IDAT") - 4
    return data[:start] + chunk + data[start:]


def _deep_tiff(pixels: np.ndarray, orientation: int) -> bytes:
    """A minimal 16-bit RGB TIFF: header, one directory, bits per sample, pixels."""
    height, width = pixels.shape[:2]
    body = pixels.astype("<u2").tobytes()
    num_tags = 10
    bits_at = 8 + 2 + 12 * num_tags + 4
    short, long = 3, 4
    tags = [
        *((256, long, 1, width), (257, long, 1, height), (258, short, 3, bits_at), (259, short, 1, 1)),
        *((262, short, 1, 2), (273, long, 1, bits_at + 6), (274, short, 1, orientation), (277, short, 1, 3)),
        *((278, long, 1, height), (279, long, 1, len(body))),
    ]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)  # a short value is its own low half
    header = b"II*\0" + struct.pack("<IH", 8, num_tags)
    return header + directory + struct.pack("<I", 0) + struct.pack("<HHH", 16, 16, 16) + body


# Stretching ---------------------------------------------------------------------------------------


def test_stretch_by_hand() -> None:
    # 0..1000: the 0.1 percentile is 1, the 99.9 percentile 999, so 600 becomes 599 / 998 * 255 = 153.05.
    assert stretch_to_uint8(np.arange(1001, dtype=np.uint16))[[0, 1, 600, 999, 1000]].tolist() == [0, 0, 153, 255, 255]


def test_stretch_ignores_a_hot_pixel() -> None:
    deep = np.tile(np.arange(100, dtype=np.uint16), (100, 1))
    deep[0, 0] = 65535
    assert stretch_to_uint8(deep)[50].max() == 255


def test_stretch_shows_one_small_object() -> None:
    deep = np.full((100, 100), 500, np.uint16)
    deep[3, 4] = 900
    assert stretch_to_uint8(deep)[3, 3:6].tolist() == [0, 255, 0]


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_stretch_of_a_constant_is_even(value: float) -> None:
    stretched = stretch_to_uint8(np.full((5, 5), value, np.float32))
    assert stretched.shape == (5, 5)
    assert len(np.unique(stretched)) == 1


def test_stretch_of_values_that_are_no_numbers() -> None:
    pixels = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    stretched = stretch_to_uint8(pixels)
    assert stretched[0, :3].tolist() == [0, 255, 0]
    assert 120 < stretched[5, 0] < 135


def test_stretch_of_bool() -> None:
    assert stretch_to_uint8(np.array([[True, False]])).tolist() == [[255, 0]]


# Errors -------------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.png: there is no such image file"):
        read_image(tmp_path / "no.png")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"{tmp_path.name}: expected an image file, got a folder"):
        read_image(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty\.png: the image file is empty"):
        read_image(tmp_path / "empty.png")


def test_text_file(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("some notes of mine")
    with pytest.raises(ImageError, match=r"text\.jpg: not an image in a known format .*b'some notes of mi'"):
        read_image(tmp_path / "text.jpg")


@pytest.mark.parametrize("extension", ["jpg", "png", "tif"])
def test_truncated_file(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"cut.{extension}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=rf"cut\.{extension}: the image"):
        read_image(path)


@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
def test_large_images_are_no_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str) -> None:
    path = tmp_path / f"large.{extension}"
    Image.new("RGB", (50, 50)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow alone raises from 2 x this many pixels on
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert read_image(path).shape == (50, 50, 3)
    assert Image.MAX_IMAGE_PIXELS == 100, "the limit of other users of Pillow was changed"
    with pytest.raises(ImageTooLargeError, match=rf"large\.{extension}: 50 x 50 px are 0\.0025 megapixels, more"):
        read_image(path, max_pixels=100)


def test_errors_travel_between_processes() -> None:
    assert str(pickle.loads(pickle.dumps(ImageError("a.png: broken")))) == "a.png: broken"


# Arrays -------------------------------------------------------------------------------------------


def test_rgb_array_is_not_copied(scene: np.ndarray) -> None:
    assert to_rgb(scene) is scene
    _check_form(to_rgb(scene[:, ::-1]))


def test_encoded_bytes_are_read_as_a_file_is(tmp_path: Path, scene: np.ndarray) -> None:
    deep = (scene.astype(np.uint16) << 8) + 7
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    Image.fromarray(scene).save(tmp_path / "plain.png")
    for name in ("deep.png", "plain.png"):
        assert np.array_equal(to_rgb((tmp_path / name).read_bytes()), read_image(tmp_path / name))
    for wrong, reason in ((b"", r"empty \(0 bytes\)"), (b"some text", "not an image in a known format")):
        with pytest.raises(ImageError, match=f"encoded image: .*{reason}"):
            to_rgb(wrong)


def test_tensors_in_both_orders(scene: np.ndarray) -> None:
    for tensor in (torch.from_numpy(scene), torch.from_numpy(scene).permute(2, 0, 1), torch.from_numpy(scene[..., :1])):
        expected = scene if tensor.shape[-1] != 1 else np.repeat(scene[..., :1], 3, axis=2)
        assert np.array_equal(to_rgb(tensor), expected)
        _check_form(to_rgb(tensor))
    with torch.inference_mode():
        assert np.array_equal(to_rgb(torch.from_numpy(scene).permute(2, 0, 1) + 0), scene)
    with pytest.raises(ImageError, match=r"got \(3, 4, 5\) float32; for other numbers pass value_range"):
        to_rgb(torch.zeros(3, 4, 5))


def test_a_range_says_what_is_black_and_what_is_white() -> None:
    # On paper: (x - low) / (high - low) * 255, rounded, clipped.
    for values, value_range, expected in (
        (np.array([[0.0, 0.5, 1.0, 1.5, -1.0]]), (0, 1), [0, 128, 255, 255, 0]),
        (np.array([[0, 257, 65535]], np.uint16), (0, 65535), [0, 1, 255]),
        (np.array([[100, 160, 200]], np.uint8), (100, 200), [0, 153, 255]),
        (torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.bfloat16), (-1, 1), [0, 128, 255]),
    ):
        assert to_rgb(values, value_range)[0, :, 0].tolist() == expected
    assert to_rgb(torch.ones(3, 2, 2), (0, 1)).tolist() == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), (0, float("nan")), (0, float("inf")), 255, (1, 2, 3), "ab"])
def test_a_range_that_is_none(value_range: object) -> None:
    with pytest.raises(ImageError, match="value_range: expected two numbers, the lower one first, got "):
        to_rgb(np.zeros((2, 2)), value_range)  # type: ignore[arg-type]


def test_a_range_is_for_numbers(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="an image file says its range itself"):
        to_rgb(tmp_path / "a.png", (0, 1))
    with pytest.raises(ImageError, match="NaN"):
        to_rgb(np.full((2, 2), np.nan), (0, 1))
    with pytest.raises(ImageError, match="got complex128"):
        to_rgb(np.zeros((2, 2), complex), (0, 1))


def test_grey_arrays() -> None:
    grey = np.array([[1, 2]], np.uint8)
    assert to_rgb(grey).tolist() == [[[1] * 3, [2] * 3]]
    assert np.array_equal(to_rgb(grey[..., None]), to_rgb(grey))


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((4, 5, 3), np.float32), r"got \(4, 5, 3\) float32; .*value_range"),
        (np.zeros((4, 5), np.uint16), r"got \(4, 5\) uint16"),
        (np.zeros((3, 40, 50), np.uint8), r"got \(3, 40, 50\) uint8; for channels first"),
        (np.zeros((4, 5, 2), np.uint8), r"got \(4, 5, 2\) uint8"),
        (np.zeros((2, 4, 5, 3), np.uint8), r"got \(2, 4, 5, 3\) uint8"),
        (np.zeros((0, 5, 3), np.uint8), r"got \(0, 5, 3\) uint8"),
        ([[1, 2]], "got builtins.list"),
    ],
)
def test_wrong_arrays(array: np.ndarray, got: str) -> None:
    with pytest.raises(ImageError, match=r"expected .*\(H, W, 3\) uint8 RGB array or tensor, " + got):
        to_rgb(array)
