"""Small films with a known content, and films spoilt in one way each."""

import struct
from pathlib import Path

import cv2
import numpy as np

SIZE = (48, 64)
"""(height, width)."""


def grey_of(number: int) -> int:
    """The grey level of a frame, by which it is known again among ten."""
    return 20 + 20 * (number % 10)


def write_film(path: Path, num: int = 6, codec: str = "mp4v", rate: float = 10.0) -> Path:
    """Frames of one grey level each, with a bright corner at the left top."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, SIZE[::-1])
    for number in range(num):
        frame = np.full((*SIZE, 3), grey_of(number), np.uint8)
        frame[:16, :16] = 255
        writer.write(frame)
    writer.release()
    return path


def number_in(image: np.ndarray) -> int:
    """Which frame of `write_film` it is, by its middle."""
    height, width = image.shape[:2]
    return round((image[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4].mean() - 20) / 20)


def turned(path: Path) -> None:
    """Say in an MP4 that its pictures are to be turned by a quarter, clockwise."""
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + (52 if data[data.find(b"tkhd") + 4] else 40)
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE[0] << 16, 0, 1 << 30)
    path.write_bytes(data)


def with_durations(path: Path, durations: list[int]) -> None:
    """Give each frame of an MP4 its own duration, in units of what all had."""
    data = bytearray(path.read_bytes())
    at = data.find(b"stts") - 4
    size, unit = struct.unpack(">I", data[at : at + 4])[0], struct.unpack(">I", data[at + 20 : at + 24])[0]
    table = b"".join(struct.pack(">II", 1, unit * duration) for duration in durations)
    new = struct.pack(">I4sII", 16 + len(table), b"stts", 0, len(durations)) + table
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):  # all around it grow
        start = data.find(name) - 4
        data[start : start + 4] = struct.pack(">I", struct.unpack(">I", data[start : start + 4])[0] + len(new) - size)
    data[at : at + size] = new
    path.write_bytes(bytes(data).replace(b"edts", b"free"))  # the list of edits would end the film as before


def changed(path: Path, old: bytes, new: bytes) -> Path:
    """The same file with some bytes replaced."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path
