"""What kind of film a file is by its first bytes, and what an MP4 that cannot be opened lacks."""

from pathlib import Path
from typing import BinaryIO

START_BYTES = 512
MAX_BOXES = 1000
"""Of an MP4, on each level that is looked at; a film has a few tracks."""
_TS_PACKET = 188
_SOUND = "sound without pictures"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (b"FLV\1", "Flash video"),
    (b"\0\0\1\xba", "MPEG program stream"),
    (b"\0\0\1\xb3", "MPEG video"),
    (b"0&\xb2u\x8ef\xcf\x11", "ASF (WMV)"),
    (b"YUV4MPEG2 ", "YUV4MPEG"),
    (b"DKIF", "IVF"),
    *(
        (start, _SOUND)
        for start in (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"#!AMR", b"FORM", b".snd")
    ),
)


def film_kind(path: str | Path) -> str | None:
    """The container of a video file, such as "MP4", or "sound without pictures"; None for anything else.

    A picture that moves (GIF, a TIFF of many pages) is none of these. What cannot be read is None, too.
    """
    try:
        with Path(path).open("rb") as file:
            return _kind(file.read(START_BYTES))
    except (OSError, ValueError):
        return None


def is_sound(kind: str) -> bool:
    return kind == _SOUND


def _kind(start: bytes) -> str | None:
    if start.startswith(b"RIFF"):
        return {b"AVI ": "AVI", b"WAVE": _SOUND}.get(start[8:12])
    if start.startswith(b"OggS"):
        return "Ogg" if b"theora" in start else _SOUND
    if start[4:8] == b"ftyp":
        return _brand(start[8:12])
    if start[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "QuickTime"
    is_transport = (
        start[:1] == b"G" and start[_TS_PACKET : _TS_PACKET + 1] == start[2 * _TS_PACKET : 2 * _TS_PACKET + 1]
    )
    if is_transport and start[_TS_PACKET : _TS_PACKET + 1] == b"G":
        return "MPEG transport stream"
    return next((kind for mark, kind in _SIGNATURES if start.startswith(mark)), None)


def _brand(brand: bytes) -> str | None:
    if brand in (b"M4A ", b"M4B ", b"M4P "):
        return _SOUND
    is_picture = brand in (b"avif", b"avis", b"mif1", b"msf1", b"crx ") or brand[:3] in (b"hei", b"hev")
    return None if is_picture else "MP4"


def what_mp4_lacks(path: str | Path) -> str | None:
    """Why an MP4 or QuickTime file cannot be opened, in words, as far as its boxes tell."""
    with Path(path).open("rb") as file:
        top = dict(_boxes(file, 0, file.seek(0, 2)))
        if b"moov" not in top:
            return "its index (moov) is missing, since the file is cut off or was never finished"
        tracks = [place for name, place in _boxes(file, *top[b"moov"]) if name == b"trak"]
        codecs = [codec for track in tracks if (codec := _codec_of_pictures(file, *track)) is not None]
    if not codecs:
        return f"there is {_SOUND} in it" if tracks else "there is no track in it"
    return f"its pictures are in the codec {'/'.join(codecs)}, and this OpenCV cannot decode them"


def _codec_of_pictures(file: BinaryIO, start: int, stop: int) -> str | None:
    media = dict(_boxes(file, *dict(_boxes(file, start, stop)).get(b"mdia", (0, 0))))
    if b"hdlr" not in media or b"minf" not in media:
        return None
    file.seek(media[b"hdlr"][0] + 8)
    if file.read(4) != b"vide":
        return None
    table = dict(_boxes(file, *dict(_boxes(file, *media[b"minf"])).get(b"stbl", (0, 0))))
    file.seek(table.get(b"stsd", (0, 0))[0] + 12)
    return file.read(4).decode("ascii", "replace")


def _boxes(file: BinaryIO, start: int, stop: int) -> list[tuple[bytes, tuple[int, int]]]:
    """The name of each whole box between two places of the file, and where its content begins and ends."""
    found = []
    while start + 8 <= stop and len(found) < MAX_BOXES:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            break
        size, content = int.from_bytes(header[:4], "big"), start + 8
        if size == 1:
            size, content = int.from_bytes(header[8:16], "big"), start + 16
        end = stop if size == 0 else start + size
        if not content <= end <= stop:  # cut off
            break
        found.append((header[4:8], (content, end)))
        start = end
    return found
