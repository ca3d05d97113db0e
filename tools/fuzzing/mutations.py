"""Damage: to bytes, to text, to trees of plain values, to XML and to archives."""

import copy
import io
import random
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from typing import Any

_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, 2**64 - 1)


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four changes; now and then as it is."""
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        rng.choice(_CHANGES)(changed, rng)
    return bytes(changed)


def _place(data: bytearray, rng: random.Random) -> int:
    """Headers are hit more often than what follows."""
    limit = len(data) if rng.random() < 0.5 else min(len(data), 512)
    return rng.randrange(max(1, limit))


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(data: bytearray, rng: random.Random) -> None:
    size, at = rng.choice((2, 4, 4, 8)), _place(data, rng)
    value = rng.choice(_NUMBERS) % 256**size
    data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 2, 4, 16, 100))]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16, 100)))


def _repeat(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = bytes(data[at : at + rng.choice((1, 8, 64, 512))]) * rng.choice((1, 2, 50))


def _digits(data: bytearray, rng: random.Random) -> None:
    """Another number where one is written out."""
    places = [i for i in range(min(len(data), 20_000)) if 48 <= data[i] <= 57]
    if places:
        at = rng.choice(places)
        data[at : at + 1] = rng.choice(
            (
                *(b"-1", b"1e30", b"1e400", b"-Infinity", b"NaN", b"99999999999999999999", b"0", b"1e-30", b'"1"'),
                *(
                    b"null",
                    b"9" * 5000,
                    b"[" * 200 + b"]" * 200,
                    b"[" * 900 + b"]" * 900,
                    b'{"a":' * 900 + b"1" + b"}" * 900,
                ),
            )
        )


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _number,
    _number,
    _cut,
    _remove,
    _insert,
    _repeat,
    _digits,
)


def odd_value(rng: random.Random) -> Any:
    """Something that belongs nowhere."""
    return rng.choice(
        (
            None,
            True,
            0,
            -1,
            1,
            1.5,
            1e30,
            -1e30,
            10**30,
            2**31,
            float("nan"),
            float("inf"),
            1e-30,
            "",
            "x",
            "1",
            "nan",
            "\ud800",
            "\x00",
            "\x1b[2J",
            "../../x",
            "/dev/zero",
            "é" * 300,
            "x" * 100_000,
            [],
            {},
            [[]],
            [None],
            {"a": {"b": []}},
            [0] * 1000,
            [[1, 2], 3],
        )
    )


def damaged_tree(tree: Any, rng: random.Random) -> Any:
    """`tree` of dicts and lists with one to three values exchanged, removed, doubled or wrapped."""
    whole = [copy.deepcopy(tree)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places: list[tuple[Any, Any]] = [(whole, 0)]
        for holder, key in places:  # grows while it is walked
            value = holder[key]
            if isinstance(value, dict):
                places += [(value, inner) for inner in value]
            elif isinstance(value, list):
                places += [(value, i) for i in range(len(value))]
        holder, key = rng.choice(places[1:] or places)
        match rng.randrange(8):
            case 0 if holder is not whole:
                del holder[key]
            case 1 if isinstance(holder, list) and holder is not whole:
                holder.insert(key, copy.deepcopy(holder[key]))
            case 2:
                holder[key] = [holder[key]] * rng.choice((1, 2, 100))
            case 3 if isinstance(holder[key], int | float):
                holder[key] = holder[key] * rng.choice((-1, 1000, 1e9, 1e-9, 0.5))
            case 4:
                holder[key] = copy.deepcopy(rng.choice(places)[0])
            case _:
                holder[key] = odd_value(rng)
    return whole[0]


_XML_TEXTS = (
    "",
    "x",
    "-1",
    "0",
    "1e30",
    "1e400",
    "nan",
    "inf",
    "99999999999999999999",
    "1,2",
    "1,2;3,4;",
    "1 2",
    "é" * 300,
)
_DOCTYPES = (
    b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>',
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    b'<!DOCTYPE a SYSTEM "http://localhost/a.dtd">',
)


def damaged_xml(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to three elements or attributes changed, removed, doubled or nested; or with a document type."""
    root = ET.fromstring(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        parents = [parent for parent in root.iter() if len(parent)]
        parent = rng.choice(parents) if parents else root
        element = rng.choice(list(parent)) if len(parent) else root
        name = rng.choice(sorted(element.attrib)) if element.attrib else ""
        match rng.randrange(8):
            case 0 if element is not root:
                parent.remove(element)
            case 1:
                parent.append(copy.deepcopy(rng.choice(list(root.iter()))))
            case 2:
                element.tag = rng.choice(("image", "polygon", "mask", "box", "ellipse", "track", "skeleton", "x"))
            case 3 if name:
                del element.attrib[name]
            case 4:
                for _ in range(rng.choice((5, 60))):
                    element = ET.SubElement(element, "image")
            case _ if name:
                text = element.attrib[name]
                element.attrib[name] = rng.choice(
                    (*_XML_TEXTS, text * 3000, text[: len(text) // 2], f"-{text}", f"{text}0")
                )
            case _:
                element.text = rng.choice(_XML_TEXTS)
    changed = b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root)
    if rng.random() < 0.05:
        changed = changed.replace(b"<image ", b"<image>" * 30_000 + b"<image ", 1)
    if rng.random() < 0.1:
        changed = changed.replace(b"?>\n", b"?>" + rng.choice(_DOCTYPES) + b"\n", 1)
    return (
        changed
        if rng.random() < 0.9
        else changed.replace(b"utf-8", rng.choice((b"latin-1", b"utf-16", b"cp037", b"x")), 1)
    )


def damaged_zip(data: bytes, rng: random.Random) -> bytes:
    """The archive written again with one member damaged, doubled, renamed, or as many zeros as fit in few bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(8):
        case 0:
            members.append((rng.choice(("../x.roi", "a/b.roi", "\x1b[2J.roi", "x" * 300 + ".roi", "é.roi")), content))
        case 1:
            members[at] = (name, bytes(rng.choice((0, 64, 1 << 24, 1 << 25))))
        case _:
            members[at] = (name, damaged_bytes(content, rng))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
