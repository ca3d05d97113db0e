"""What one picture may take, decided from its header before any pixel is decoded; and the errors of this package."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from maskrcnn.untrusted.machine_memory import memory_bytes

MAX_PIXELS = 200_000_000
"""Pixels of a picture, on a machine that can hold them: a 14,000 x 14,000 scan. Larger ones are read when asked for."""
BYTES_PER_PIXEL = 6
"""The numbers that a file stores may take so many bytes for each pixel allowed: RGB of 16 bits fits, RGB of 64-bit
floats needs a picture of at most a quarter of the pixels."""
PEAK_BYTES_PER_PIXEL = BYTES_PER_PIXEL + 4
"""What reading takes at most: the stored numbers, RGB, and one byte more on the way; 2 GB for 200 million pixels."""
DECODER_BYTES_PER_PIXEL = {"WEBP": 16, "JPEG2000": 18, "AVIF": 12}
"""What reading takes of formats whose decoder keeps copies of its own."""
SMALL_FILE_BYTES = 64 << 20
"""Files up to this size are opened to see how many pixels they claim."""
MAX_SMALL_READS = 5_000_000
"""Of a few bytes each, by which Pillow skips what it does not know, a byte at a time: about 5 s. A GIF of a gigabyte
takes so many."""
DEEP_PNG_COPIES = 2
"""Of the whole file, which OpenCV keeps beside the numbers when it decodes 16-bit colour."""
MACHINE_SHARE = 0.4
"""Of the machine's memory (or of what its container allows), for reading a picture of the default limit. What is drawn
of it takes as much as half of that again."""
MAX_RATIO = {"PNG": 1040, "JPEG": 1100, "GIF": 4096, "BMP": 130, "DIB": 130, "TGA": 130, "PPM": 3}
"""Bytes of stored numbers for each byte of the file. Deflate cannot give more than 1032 (RFC 1951: 258 for 2
bits); Huffman codes of one bit, LZW's longest string and run lengths have bounds like it. What claims more is cut off,
or made to fill memory. The other formats have no such bound."""
MAX_PAGES = 100_000
"""Pages, planes and channels of a file: an hour of video. A header of a few bytes can claim any number."""
MAX_JPEG_SCANS = 200
"""Scans of a progressive JPEG (ten are usual), each of which costs a pass over all pixels."""


_allowed: ContextVar[int | None] = ContextVar("pixels that a picture may have", default=None)


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the reason."""


class ImageTooLargeError(ImageError):
    """A picture of more pixels, or bytes, than was allowed; `max_pixels` allows more."""


@cache
def default_max_pixels() -> int:
    """`MAX_PIXELS`, or fewer on a machine whose memory such a picture would fill."""
    return int(min(MAX_PIXELS, MACHINE_SHARE * memory_bytes() / PEAK_BYTES_PER_PIXEL))


@contextmanager
def pixels_allowed(max_pixels: int | None) -> Iterator[None]:
    """The limit of all that is read in this block, by this thread, without one of its own; None changes nothing."""
    before = _allowed.set(max_pixels if max_pixels is not None else _allowed.get())
    try:
        yield
    finally:
        _allowed.reset(before)


def allowed_pixels(max_pixels: int | None = None) -> int:
    """`max_pixels`, or else the limit of the block around (`pixels_allowed`), or else `default_max_pixels()`."""
    chosen = max_pixels if max_pixels is not None else _allowed.get()
    return chosen if chosen is not None else default_max_pixels()


def expect_file_within(name: str, file_bytes: int, max_pixels: int | None, format: str) -> None:
    """Accept the size of a file before it is opened, or say that it has more bytes than the numbers of an image may.

    Of some formats (WebP, AVIF) Pillow reads all to see what it is, of others it looks through what may be zeros.
    """
    limit = max(SMALL_FILE_BYTES, BYTES_PER_PIXEL * allowed_pixels(max_pixels))
    if file_bytes > limit:
        raise ImageTooLargeError(
            f"{name}: the file has {_millions(file_bytes)} MB, more than the {_millions(limit)} allowed for {format}"
        )


def expect_within(
    name: str,
    size: tuple[int, int],
    bytes_per_pixel: float,
    max_pixels: int | None,
    file_bytes: int,
    format: str,
    held_bytes: int = 0,
) -> None:
    """Accept the (height, width) that a file claims, or say which limit it is beyond.

    Args:
        bytes_per_pixel: of the stored numbers, all channels together.
        max_pixels: of `allowed_pixels`.
        file_bytes: all of the file.
        format: one of `READ`; `MAX_RATIO` has a bound for some.
        held_bytes: what is held beside the stored numbers while they are decoded.
    """
    limit = allowed_pixels(max_pixels)
    pixels = size[0] * size[1]
    claims, allowed = f"{name}: {size[1]} x {size[0]} px", _millions(limit)
    if pixels < 1:
        raise ImageError(f"{claims}, so there is nothing in it")
    if pixels > limit:
        raise ImageTooLargeError(
            f"{claims} are {_millions(pixels)} megapixels, more than the {_millions(limit)} allowed (max_pixels)"
        )
    if pixels * bytes_per_pixel > limit * BYTES_PER_PIXEL:
        raise ImageTooLargeError(
            f"{claims} of {bytes_per_pixel:g} bytes take {_millions(pixels * bytes_per_pixel)} MB, more than the "
            f"{_millions(limit * BYTES_PER_PIXEL)} MB allowed ({BYTES_PER_PIXEL} bytes for each of "
            f"{allowed} megapixels)"
        )
    taken = max(pixels * DECODER_BYTES_PER_PIXEL.get(format, 0), pixels * bytes_per_pixel + held_bytes)
    if taken > limit * PEAK_BYTES_PER_PIXEL:
        raise ImageTooLargeError(
            f"{claims} as {format} take {_millions(taken)} MB while they are decoded, more than the "
            f"{_millions(limit * PEAK_BYTES_PER_PIXEL)} MB allowed ({PEAK_BYTES_PER_PIXEL} bytes for each of {allowed} "
            "megapixels)"
        )
    ratio = MAX_RATIO.get(format)
    if ratio is not None and pixels * bytes_per_pixel > ratio * file_bytes:
        raise ImageError(
            f"{claims} cannot be in a {format} file of {file_bytes} bytes: it is cut off, or not what it claims to be"
        )


def _millions(number: float) -> str:
    return f"{number / 1e6:.3g}" if number < 1e8 else f"{number / 1e6:,.0f}"
