"""What one picture may take, decided from its header before any pixel is decoded; and the errors of this package."""

from functools import cache

from maskrcnn.untrusted.machine_memory import memory_bytes

MAX_PIXELS = 200_000_000
"""Pixels of a picture, on a machine that can hold them: a 14,000 x 14,000 scan. Larger ones are read when asked for."""
BYTES_PER_PIXEL = 6
"""The numbers that a file stores may take so many bytes for each pixel allowed: RGB of 16 bits fits, RGB of 64-bit
floats needs a picture of at most a quarter of the pixels. Twice the numbers and three bytes of RGB are the peak."""
PEAK_BYTES_PER_PIXEL = 2 * BYTES_PER_PIXEL + 3
MACHINE_SHARE = 0.5
"""Of the machine's memory (or of what its container allows) a picture of the default limit takes at most this part."""
MAX_RATIO = {"PNG": 1040, "JPEG": 1100, "GIF": 4096, "BMP": 130, "DIB": 130, "TGA": 130, "PPM": 3}
"""Bytes of stored numbers for each byte of the file. Deflate cannot give more than 1032 (RFC 1951: 258 for 2
bits); Huffman codes of one bit, LZW's longest string and run lengths have bounds like it. What claims more is cut off,
or made to fill memory. The other formats have no such bound."""
MAX_JPEG_SCANS = 200
"""Scans of a progressive JPEG (ten are usual), each of which costs a pass over all pixels."""


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the reason."""


class ImageTooLargeError(ImageError):
    """A picture of more pixels, or bytes, than was allowed; `max_pixels` allows more."""


@cache
def default_max_pixels() -> int:
    """`MAX_PIXELS`, or fewer on a machine whose memory such a picture would fill."""
    return int(min(MAX_PIXELS, MACHINE_SHARE * memory_bytes() / PEAK_BYTES_PER_PIXEL))


def expect_within(
    name: str, size: tuple[int, int], bytes_per_pixel: float, max_pixels: int | None, file_bytes: int, format: str
) -> None:
    """Accept the (height, width) that a file claims, or say which limit it is beyond.

    Args:
        bytes_per_pixel: of the stored numbers, all channels together.
        max_pixels: None takes `default_max_pixels()`.
        file_bytes: all of the file.
        format: one of `READ`; `MAX_RATIO` has a bound for some.
    """
    limit = default_max_pixels() if max_pixels is None else max_pixels
    pixels = size[0] * size[1]
    claims, allowed = f"{name}: {size[1]} x {size[0]} px", _millions(limit)
    if pixels < 1:
        raise ImageError(f"{claims}, so there is nothing in it")
    if pixels > limit:
        raise ImageTooLargeError(
            f"{claims} are {_millions(pixels)} megapixels, more than the {_millions(limit)} allowed"
        )
    if pixels * bytes_per_pixel > limit * BYTES_PER_PIXEL:
        raise ImageTooLargeError(
            f"{claims} of {bytes_per_pixel:g} bytes take {_millions(pixels * bytes_per_pixel)} MB, more than the "
            f"{_millions(limit * BYTES_PER_PIXEL)} MB allowed ({BYTES_PER_PIXEL} bytes for each of "
            f"{allowed} megapixels)"
        )
    ratio = MAX_RATIO.get(format)
    if ratio is not None and pixels * bytes_per_pixel > ratio * file_bytes:
        raise ImageError(
            f"{claims} cannot be in a {format} file of {file_bytes} bytes: it is cut off, or not what it claims to be"
        )


def _millions(number: float) -> str:
    return f"{number / 1e6:.3g}" if number < 1e8 else f"{number / 1e6:,.0f}"
