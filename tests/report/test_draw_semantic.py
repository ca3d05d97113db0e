"""Maps drawn: each class in its colour, the background untouched, and a legend that says the shares."""

import numpy as np
import pytest

from maskrcnn.report.draw import figure_scale
from maskrcnn.report.draw_semantic import VOID_COLOR, color_map, draw_semantic, legend_entries, semantic_figure
from maskrcnn.structures.semantic_map import SemanticMap


@pytest.fixture
def found() -> SemanticMap:
    idx = np.zeros((100, 120), np.uint8)
    idx[20:60, 30:80] = 2
    idx[90:] = 255
    return SemanticMap(idx, ("background", "cat", "dog"), background=0)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (100, 120, 3), dtype=np.uint8)


def test_every_pixel_has_the_colour_of_its_class(found: SemanticMap):
    drawn = color_map(found)
    assert (drawn[20:60, 30:80] == found.colors[2]).all()
    assert (drawn[90:] == VOID_COLOR).all()
    assert (drawn[:20] == 0).all()


def test_the_overlay_tints_the_classes_and_leaves_the_background(found: SemanticMap, image: np.ndarray):
    before = image.copy()
    drawn = draw_semantic(image, found, opacity=0.5, legend=False)
    assert np.array_equal(image, before)
    is_background = found.class_idx == 0
    assert np.array_equal(drawn[is_background], image[is_background])
    inside = drawn[21:59, 31:79].astype(int)
    expected = (image[21:59, 31:79].astype(int) + found.colors[2]) / 2
    assert np.abs(inside - expected).max() <= 1
    assert (drawn[20, 30:80] == found.colors[2]).all(), "the rim"
    assert np.array_equal(draw_semantic(image, found, opacity=0.0, legend=False), image)
    assert not np.array_equal(draw_semantic(image, found, legend=True), draw_semantic(image, found, legend=False))


def test_the_legend_says_the_largest_share_first(found: SemanticMap):
    assert [text for text, *_ in legend_entries(found)] == ["background 73.3%", "dog 16.7%"]
    nothing = SemanticMap(np.full((4, 4), 255, np.uint8), ("a",))
    assert [text for text, *_ in legend_entries(nothing)] == ["no class"]


def test_a_figure_is_enlarged_above_its_legend(found: SemanticMap, image: np.ndarray):
    page, scale = semantic_figure(image, found), figure_scale((100, 120))
    assert scale == 8
    assert page.shape[0] > 800
    assert page.shape[1] == 960
    assert (page[8 * 20, 8 * 40 : 8 * 70] == found.colors[2]).all()


def test_a_picture_of_another_size_is_refused(found: SemanticMap, image: np.ndarray):
    with pytest.raises(ValueError, match=r"expected an image of \(100, 120\), as the map has, got \(100, 100\)"):
        draw_semantic(image[:, :100], found)
    with pytest.raises(ValueError, match="expected an opacity of 0 to 1, got 2"):
        draw_semantic(image, found, opacity=2)
    with pytest.raises(ValueError, match="uint8 RGB"):
        semantic_figure(image[..., 0], found)
