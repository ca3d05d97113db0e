"""XML of strangers: elements one at a time, and no way to other files or to more memory than the text."""

from pathlib import Path

import pytest

from maskrcnn.untrusted.plain_xml import PlainXMLError, plain_xml

BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]><a><b>&y;</b></a>'
OTHER_FILE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><b>&x;</b></a>'


def write(folder: Path, text: str) -> Path:
    path = folder / "a.xml"
    path.write_text(text, encoding="utf-8")
    return path


def test_elements_come_whole(tmp_path: Path):
    path = write(tmp_path, '<a><b n="1">text<c d="t&amp;x">text</c></b><d/><b n="2"/></a>')
    found = list(plain_xml(path, "b"))
    assert [one.get("n") for one in found] == ["1", "2"]
    assert [(one.tag, dict(one.attrib)) for one in found[0]] == [("c", {"d": "t&x"})]


@pytest.mark.parametrize("text", [BOMB, OTHER_FILE])
def test_no_document_type(tmp_path: Path, text: str):
    with pytest.raises(PlainXMLError, match=r"a document type \(DTD\)"):
        list(plain_xml(write(tmp_path, text), "b"))


def test_damage_and_depth(tmp_path: Path):
    with pytest.raises(PlainXMLError, match="not valid XML: "):
        list(plain_xml(write(tmp_path, "<a><b></a>"), "b"))
    with pytest.raises(PlainXMLError, match="nested more than 50 deep"):
        list(plain_xml(write(tmp_path, "<b>" * 60 + "</b>" * 60), "b"))
