"""XML that a stranger may have written, an element at a time: no DTD, so no entities, no other files, no bombs."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

MAX_DEPTH = 50
_CHUNK_BYTES = 1 << 18


class PlainXMLError(ValueError):
    """Why a text is not read: half a sentence that goes behind the name of its file."""


def plain_xml(path: Path, tag: str) -> Iterator[ET.Element]:
    """Each element `tag` of the file with all that is in it, one after the other in memory.

    Raises:
        OSError: it cannot be opened.
        PlainXMLError: it is not valid XML, has a document type, or is nested too deeply.
    """
    parser, done = expat.ParserCreate(), list[ET.Element]()
    stack: list[ET.Element] = []
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise PlainXMLError(f"nested more than {MAX_DEPTH} deep")
        if stack or name == tag:
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

    def text(data: str) -> None:
        if stack and not len(stack[-1]):
            stack[-1].text = (stack[-1].text or "") + data

    def refuse(*_: object) -> None:
        raise PlainXMLError("a document type (DTD), which no annotations need and which is not read")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    with path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK_BYTES):
                parser.Parse(chunk, False)
                yield from done
                done.clear()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise PlainXMLError(f"not valid XML: {error}") from None
        yield from done
