"""Files that are damaged, made to fill memory, or something else than their name says: one sentence each, at once.

The differential test at the end: where Pillow, OpenCV and tifffile agree on a file, our reader agrees too.
"""

import io
import os
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from maskrcnn.data.images import ImageError, ImageTooLargeError, PartOfFile, read_image, to_rgb
from maskrcnn.data.pictures import limits
from maskrcnn.data.pictures.kinds import READ, recognise
from maskrcnn.data.pictures.limits import default_max_pixels, expect_within
from maskrcnn.data.pictures.pixels import Stored, stretch_to_uint8, strips
from maskrcnn.data.pictures.raster import rgb_order

POSIX = pytest.mark.skipif(os.name == "nt", reason="pipes and links of POSIX")


def png(width: int, height: int, bits: int, colour: int, pixels: bytes) -> bytes:
    """A PNG that claims this size, whatever its pixels are."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def picture(format: str) -> bytes:
    """Noise of 24 x 32 px."""
    written = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(written, format)
    return written.getvalue()


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n(x) print\nshowpage\n"
SAYS_WHAT_IT_IS = {
    "lfs.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", r"git-lfs pointer .*`git lfs pull`"),
    "html.jpg": (b"\n<!DOCTYPE html><html><body>Log in</body></html>", "a web page, .*download it again"),
    "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "eps.png": (EPS, "PostScript, which is never run"),
    "dos_eps.png": (b"\xc5\xd0\xd3\xc6" + bytes(28) + EPS, "PostScript, which is never run"),
    "heic.jpg": (struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic", "a HEIC image, .*convert it to JPEG or PNG"),
    "jxl.png": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "a JPEG XL image; convert it to PNG"),
    "jxl_stream.jpg": (b"\xff\x0a" + bytes(20), "a JPEG XL image"),
    "raw.tif": (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a camera raw file; develop it"),
    "raf.jpg": (b"FUJIFILMCCD-RAW 0201", "a camera raw file"),
    "cr3.jpg": (struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom", "a camera raw file"),
    "film.png": (
        struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2",
        "a video; `infer` and `maskrcnn.track` take it by its own name",
    ),
    "czi.tif": (b"ZISRAWFILE" + bytes(40), "a Zeiss CZI file; export it as OME-TIFF"),
    "nd2.tif": (b"\xda\xce\xbe\x0a" + bytes(40), "a Nikon ND2 file; export it as TIFF"),
    "lif.tif": (b"\x70\0\0\0" + bytes(40), "a Leica LIF file; export it as TIFF"),
    "hdf.tif": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
    "psd.tif": (b"8BPS\0\1" + bytes(40), "a Photoshop file"),
    "pdf.png": (b"%PDF-1.7", "a PDF; export it as TIFF or PNG, one file for each page"),
    "docx.png": (b"PK\3\4" + bytes(26) + b"[Content_Types].xml", "a document of Word, Excel or PowerPoint"),
    "torch.png": (b"PK\3\4" + bytes(26) + b"archive/data.pkl", "the weights of a model"),
    "safetensors.png": (struct.pack("<Q", 90) + b'{"__metadata__": {}}', "the weights of a model"),
    "zip.png": (b"PK\3\4" + bytes(40), "a zip archive; unpack it"),
    "dicom.tif": (bytes(128) + b"DICM", "a DICOM file"),
    "npy.tif": (b"\x93NUMPY\1\0", "a NumPy array"),
}
TOO_LARGE = {
    "tall.png": (png(64, 16_711_696, 8, 2, zlib.compress(bytes(1000))), r"64 x 16711696 px are 1,070 megapixels"),
    "bits.png": (png(2**15, 2**15, 1, 0, zlib.compress(bytes(2**16), 9)), r"32768 x 32768 px are 1,074 megapixels"),
    "square.png": (png(30_000, 30_000, 8, 2, zlib.compress(bytes(2**16))), r"30000 x 30000 px are 900 megapixels"),
    "large.bmp": (bmp(60_000, 60_000), r"60000 x 60000 px are 3,600 megapixels"),
}
TOO_FEW_BYTES = {
    "few.png": (png(10_000, 10_000, 8, 2, zlib.compress(bytes(1000))), r"cannot be in a PNG file of \d+ bytes"),
    "few.bmp": (bmp(10_000, 10_000), "cannot be in a BMP file of 54 bytes"),
    "few.ppm": (b"P6 10000 10000 255\n\0", "cannot be in a PPM file of 20 bytes"),
    "few.gif": (b"GIF89a" + struct.pack("<HHBBB", 10_000, 10_000, 0, 0, 0) + b";", r"GIF file of 14 bytes|damaged"),
}
ALL = SAYS_WHAT_IT_IS | TOO_LARGE | TOO_FEW_BYTES


@pytest.mark.parametrize("name", ALL)
def test_one_sentence_each_before_anything_is_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, sentence = ALL[name]
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(limits, "default_max_pixels", lambda: limits.MAX_PIXELS)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("started a program"))
    with pytest.raises(ImageError, match=sentence) as error:
        read_image(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(error.value)
    assert isinstance(error.value, ImageTooLargeError) == (name in TOO_LARGE)


def test_camera_raw_that_calls_itself_tiff(tmp_path: Path) -> None:
    # Its first picture is a thumbnail, which would be counted.
    tifffile.imwrite(tmp_path / "a.NEF", np.zeros((8, 8), np.uint8))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((8, 8), np.uint8), extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((8, 8), np.uint16), photometric="cfa")
    for name in ("a.NEF", "b.tif", "c.tif"):
        with pytest.raises(ImageError, match=rf"{name}: not an image that can be read: it is a camera raw file"):
            read_image(tmp_path / name)


@POSIX
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.png")
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "gone.png").symlink_to("nothing.png")
    (tmp_path / "null.png").symlink_to("/dev/zero")
    for name, says in {
        "f.png": "expected an image file, got a pipe",
        "null.png": "expected an image file, got a device",
        "self.png": "this link leads back to itself",
    }.items():
        with pytest.raises(ImageError, match=rf"{name}: {says}$"):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"gone\.png: this is a link to nothing\.png, which is not there$"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="cannot be the name of a file"):
        read_image("a\0.png")


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_a_name_that_is_not_utf_8_is_read_and_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        path.write_bytes(picture("PNG"))
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert read_image(path).shape == (24, 32, 3)
    path.write_bytes(b"x")
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert r"caf\xe9.png: not an image" in str(error.value).encode("utf-8").decode()


# Limits -------------------------------------------------------------------------------------------


def test_limits_by_hand() -> None:
    expect_within("a", (10, 10), 6, 100, 0, "TIFF")
    with pytest.raises(ImageTooLargeError, match=r"a: 11 x 10 px are 0\.00011 megapixels, more than the 0"):
        expect_within("a", (10, 11), 1, 100, 0, "TIFF")
    # 100 pixels allowed take 600 bytes: 75 of 8 bytes fit, 76 do not.
    expect_within("a", (75, 1), 8, 100, 0, "TIFF")
    with pytest.raises(ImageTooLargeError, match=r"1 x 76 px of 8 bytes take .* allowed \(6 bytes for each of"):
        expect_within("a", (76, 1), 8, 100, 0, "TIFF")
    # Of the 1000 bytes that reading may take a WebP needs 16 for each pixel, whatever its numbers are.
    expect_within("a", (62, 1), 3, 100, 0, "WEBP")
    with pytest.raises(ImageTooLargeError, match=r"1 x 63 px as WEBP take .* while they are decoded, .* \(10 bytes"):
        expect_within("a", (63, 1), 3, 100, 0, "WEBP")
    expect_within("a", (100, 1), 6, 100, 1, "TIFF", held_bytes=400)
    with pytest.raises(ImageTooLargeError, match=r"1 x 100 px as TIFF take"):
        expect_within("a", (100, 1), 6, 100, 1, "TIFF", held_bytes=401)
    with pytest.raises(ImageError, match="nothing in it"):
        expect_within("a", (0, 7), 1, 100, 0, "WEBP")
    expect_within("a", (104, 10), 1, None, 1, "PNG")
    with pytest.raises(ImageError, match="cannot be in a PNG file of 1 bytes"):
        expect_within("a", (1041, 1), 1, None, 1, "PNG")


@pytest.mark.parametrize("memory", [1e9, 1e12])
def test_the_default_is_what_the_machine_holds(monkeypatch: pytest.MonkeyPatch, memory: float) -> None:
    monkeypatch.setattr(limits, "memory_bytes", lambda: memory)
    default_max_pixels.cache_clear()
    try:
        assert default_max_pixels() == min(200_000_000, int(memory * 0.4 / 10))
    finally:
        default_max_pixels.cache_clear()
    assert default_max_pixels() > 1_000_000


def test_deep_numbers_count(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((10, 10, 3), np.float64), photometric="rgb")
    assert read_image(tmp_path / "a.tif", max_pixels=400).shape == (10, 10, 3)
    with pytest.raises(ImageTooLargeError, match=r"10 x 10 px of 24 bytes take"):
        read_image(tmp_path / "a.tif", max_pixels=399)


def test_a_blank_picture_is_no_attack(tmp_path: Path) -> None:
    for mode in ("1", "L", "RGB"):
        Image.new(mode, (3000, 2000)).save(tmp_path / "a.png", optimize=True)
        assert read_image(tmp_path / "a.png").shape == (2000, 3000, 3)


def test_scans_of_a_progressive_jpeg(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.open(io.BytesIO(picture("PNG"))).save(written, "JPEG", progressive=True)
    data = written.getvalue()
    last = data.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(data[:-2] + data[last:-2] * 300 + data[-2:])
    with pytest.raises(ImageError, match=r"a\.jpg: \d+ scans in a progressive JPEG, more than the 200 allowed"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_image(tmp_path / "a.jpg").shape == (24, 32, 3)


@pytest.mark.parametrize(("name", "start"), [("a.webp", b"RIFF\0\0\0\x10WEBPVP8L"), ("a.avif", b"\0\0\0\x20ftypavif")])
def test_a_file_that_is_read_whole_is_measured_before(tmp_path: Path, name: str, start: bytes) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(start)
        file.truncate(1 << 40)  # takes no room on disk
    with pytest.raises(ImageTooLargeError, match=rf"{name}: the file has 1,099,512 MB, more than"):
        read_image(tmp_path / name)


def test_the_rest_of_a_jpeg_is_not_held(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.open(io.BytesIO(picture("PNG"))).save(written, "JPEG", progressive=True)
    with (tmp_path / "a.jpg").open("wb") as file:
        file.write(written.getvalue())
        file.truncate(100 << 20)
    tracemalloc.start()
    try:
        assert read_image(tmp_path / "a.jpg").shape == (24, 32, 3)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_strips_hold_little_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskrcnn.data.pictures.pixels.STRIP_NUMBERS", 12)
    deep = np.arange(7 * 5 * 3, dtype=np.uint16).reshape(7, 5, 3)
    assert [(rows.start, rows.stop) for rows in strips(deep[:3])] == [(0, 1), (1, 2), (2, 3)]  # a row has 15
    assert [(rows.start, rows.stop) for rows in strips(deep[:, :2])] == [(0, 2), (2, 4), (4, 6), (6, 8)]
    swapped = rgb_order(deep.copy())
    assert np.array_equal(swapped, deep[..., ::-1])
    parts = stretch_to_uint8(deep)
    monkeypatch.setattr("maskrcnn.data.pictures.pixels.STRIP_NUMBERS", 1 << 20)
    assert np.array_equal(parts, stretch_to_uint8(deep))


def test_stored_numbers_are_not_copied() -> None:
    """What a picture of the limit takes is the numbers and RGB, turned or not."""
    numbers = np.zeros((40, 50, 4), np.uint16)
    for orientation in (1, 6):
        stored = Stored(numbers, "straight", orientation=orientation)
        assert np.shares_memory(stored.channels(), numbers)
    assert Stored(numbers, orientation=6).rgb().shape == (50, 40, 3)
    assert Stored(numbers, orientation=6).rgb().flags.c_contiguous


def test_pil_images_and_bytes_are_within_the_limits() -> None:
    with pytest.raises(ImageTooLargeError):
        to_rgb(Image.new("RGB", (11, 10)), max_pixels=100)
    with pytest.raises(ImageTooLargeError):
        to_rgb(picture("PNG"), max_pixels=100)


# Damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"])
def test_damage_is_one_sentence_or_a_picture(tmp_path: Path, format: str) -> None:
    """Bytes changed, cut and repeated at random places: nothing but `ImageError`, which names the file."""
    rng = np.random.default_rng(len(format))
    path = tmp_path / "a.img"
    said = []
    for _ in range(60):
        data = np.frombuffer(picture(format), np.uint8).copy()
        places = rng.integers(0, min(len(data), int(rng.choice([64, 4000]))), 1 + rng.integers(6))
        data[places] = rng.integers(0, 256, len(places))
        path.write_bytes(data[: len(data) - int(rng.integers(0, 40))].tobytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert read_image(path, max_pixels=10**6).shape[2] == 3
            except ImageError as error:
                said.append(str(error))
    assert said, "no damage was done"
    assert all(sentence.startswith(f"{path}: ") and sentence.isprintable() for sentence in said)


@pytest.mark.parametrize(
    "error", [struct.error, MemoryError, OverflowError, SyntaxError, RecursionError, zlib.error, cv2.error, KeyError]
)
def test_whatever_a_decoder_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def load(*_: object) -> None:
        raise error("bad \x1b[31m\nthing")

    (tmp_path / "a.png").write_bytes(picture("PNG"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(ImageError, match=r"a\.png: ") as raised:
        read_image(tmp_path / "a.png")
    assert str(raised.value).isprintable()


def test_what_is_read_is_recognised() -> None:
    for format in READ:
        if format in ("DIB", "TGA"):
            continue
        assert recognise(picture(format)[:512], "") == (format, "")
    assert recognise(picture("TGA")[:512], ".TGA") == ("TGA", "")
    assert recognise(picture("TGA")[:512], ".png") == (None, "")
    assert recognise(picture("DIB")[:512], "") == ("DIB", "")
    avif_by_second_brand = struct.pack(">I", 24) + b"ftypmif1\0\0\0\0mif1avif"
    assert recognise(avif_by_second_brand, "") == ("AVIF", "")


def test_frames_are_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    for name in ("a.gif", "a.png", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        with pytest.warns(PartOfFile, match=rf"{name}: the file has 3 frames; only the first is read$"):
            assert (read_image(tmp_path / name)[0, 0] == (255, 0, 0)).all()


# Differences --------------------------------------------------------------------------------------


def test_where_three_libraries_agree_ours_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    num_agreed = 0
    for number in range(120):
        channels = int(rng.choice([1, 3, 4]))
        pixels = rng.integers(0, 256, (int(rng.integers(1, 40)), int(rng.integers(1, 40)), channels), dtype=np.uint8)
        if channels == 4:
            pixels[..., 3] = 255
        path = tmp_path / f"{number}.{rng.choice(['png', 'tif', 'bmp', 'webp', 'ppm', 'jpg'])}"
        source = Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels)
        if channels == 4 and path.suffix in (".jpg", ".ppm"):
            source = source.convert("RGB")
        options = {"compression": str(rng.choice(["raw", "tiff_lzw", "packbits"]))} if path.suffix == ".tif" else {}
        source.save(path, **options)
        with Image.open(path) as image:
            ways = [np.asarray(image.convert("RGB"))]
        ways.append(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
        if options.get("compression") in ("raw", "packbits"):
            third = tifffile.imread(path)
            ways.append(np.repeat(third[..., None], 3, 2) if third.ndim == 2 else third[..., :3])
        if all(np.array_equal(ways[0], way) for way in ways[1:]):
            num_agreed += 1
            assert np.array_equal(read_image(path), ways[0]), f"{path.suffix} {source.mode} {options}"
    assert num_agreed > 100
