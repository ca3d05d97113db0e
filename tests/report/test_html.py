import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from maskrcnn.report.html import page, paragraph, picture, plot, table

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Tree(HTMLParser):
    """Follows the tags of a page: what is open, and what closes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(text: str) -> Tree:
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == []
    return tree


def embedded(text: str) -> list[np.ndarray]:
    """The pictures inside a page, BGR."""
    found = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', text)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) for data in found]


def test_a_page_is_well_formed_and_needs_nothing_else():
    text = page("a <b> & c", [("one", paragraph("x < y")), ("two", table(["n"], [[1], ["<script>"]]))])
    tree = parse(text)
    assert text.startswith("<!DOCTYPE html>")
    for word in ("a <b> & c", "x < y", "<script>"):
        assert word in tree.text
    assert not [value for _, name, value in tree.attributes if name in ("src", "href")]
    assert "http" not in text


def test_captions_cannot_leave_their_attribute():
    tree = parse(picture(np.zeros((2, 3, 3), np.uint8), 'x" onerror="alert(1)'))
    assert {name for _, name, _ in tree.attributes} == {"src", "alt"}


def test_a_drawing_is_embedded_without_loss_and_noise_as_jpeg():
    drawing = np.zeros((40, 50, 3), np.uint8)
    drawing[10:20, 10:30] = (255, 0, 10)
    (found,) = embedded(picture(drawing))
    np.testing.assert_array_equal(found[..., ::-1], drawing)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert "image/jpeg" in picture(noise)


def test_a_plot_is_a_picture():
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2, 3])
    (found,) = embedded(plot(figure, "three points"))
    assert found.shape[:2] == (200, 300)


def test_only_rgb_pictures_are_taken():
    with pytest.raises(ValueError, match=r"expected a \(H, W, 3\) uint8 RGB image, got \(4, 4\)"):
        picture(np.zeros((4, 4), np.uint8))


def test_columns_of_numbers_stand_to_the_right_with_their_headings():
    text = table(["name", "share", "more"], [["7", "-", "+0.50"], ["seven", "12.0%", 3], ["x", "", "-1.25"]])
    assert re.findall(r"<t[hd]( class=.number.)?>", text) == ["", ' class="number"', ' class="number"'] * 4
    without = table(["a", "b"], [["-", ""]])
    assert re.findall(r"<t[hd]( class=.number.)?>", without) == [' class="number"', ""] * 2
