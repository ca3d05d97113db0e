"""XML that a stranger may have written, an element at a time: no DTD, so no entities, no other files, no bombs."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from maskrcnn.untrusted.machine_memory import memory_bytes

MAX_DEPTH = 50
PART_BYTES = 200
"""What an element or an attribute takes in memory, besides its text."""
MEMORY_SHARE = 0.25
"""Of the memory, for all that is in a file."""
_CHUNK_BYTES = 1 << 18


class PlainXMLError(ValueError):
    """Why a text is not read: half a sentence that goes behind the name of its file."""


def plain_xml(path: Path, tag: str) -> Iterator[ET.Element]:
    """Each element `tag` of the file with the elements and attributes that are in it, but not what stands between them.

    Raises:
        OSError: it cannot be opened.
        PlainXMLError: it is not valid XML, has a document type, is nested too deeply, or needs more than its share of
            the memory.
    """
    parser, done = expat.ParserCreate(), list[ET.Element]()
    stack: list[ET.Element] = []
    depth, room = 0, MEMORY_SHARE * memory_bytes()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, room
        depth += 1
        if depth > MAX_DEPTH:
            raise PlainXMLError(f"nested more than {MAX_DEPTH} deep")
        if stack or name == tag:
            room -= PART_BYTES * (1 + len(attributes)) + sum(map(len, attributes.values()))
            if room < 0:
                raise PlainXMLError(f"it takes more than {MEMORY_SHARE:.0%} of the memory to read")
            element = ET.Element(name, attributes)
            if stack:
                stack[-1].append(element)
            stack.append(element)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1
        if stack:
            element = stack.pop()
            if not stack:
                done.append(element)

    def refuse(*_: object) -> None:
        raise PlainXMLError("a document type (DTD), which no annotations need and which is not read")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    size, place = _CHUNK_BYTES, -1
    with path.open("rb") as file:
        try:
            while chunk := file.read(size):
                parser.Parse(chunk, False)
                yield from done
                done.clear()
                # Inside one long attribute expat begins again with every chunk, which would take ages for many of them.
                size = _CHUNK_BYTES if parser.CurrentByteIndex > place else 2 * size
                place = parser.CurrentByteIndex
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise PlainXMLError(f"not valid XML: {error}") from None
        except PlainXMLError:
            raise
        except (LookupError, ValueError) as error:  # an encoding that Python does not have, or of several bytes
            raise PlainXMLError(f"not valid XML: {error}") from None
        yield from done
