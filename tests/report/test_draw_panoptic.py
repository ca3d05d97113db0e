"""Scenes on their pictures."""

import numpy as np
import pytest

from maskrcnn.report.draw_panoptic import draw_panoptic, panoptic_figure, stuff_color
from maskrcnn.structures.panoptic import Panoptic, Segment

THINGS, STUFF = ("cat", "dog"), ("grass", "sky")
GREY = np.full((120, 160, 3), 128, np.uint8)


def scene_of_halves() -> Panoptic:
    """A cat on grass, nothing above it."""
    ids = np.zeros((120, 160), np.int32)
    ids[60:] = 2
    ids[70:110, 50:100] = 1
    return Panoptic(ids, (Segment(1, 0, True, 2000, 0.8, 0), Segment(2, 0, False, 7600)), THINGS, STUFF)


def test_each_segment_has_its_colour_and_nothing_stays_as_it_is():
    drawn = draw_panoptic(GREY, scene_of_halves(), labels=False)
    assert (drawn[:59] == 128).all()
    assert (drawn[60] == 255).all()  # the edge
    grass = drawn[65, 20].astype(float)
    assert np.abs(grass - (0.65 * 128 + 0.35 * np.array(stuff_color(0)))).max() <= 1
    cat = drawn[90, 75]
    assert np.abs(cat.astype(int) - grass).max() > 20
    assert (draw_panoptic(GREY, scene_of_halves()) != drawn).any()  # the names
    assert (GREY == 128).all()


def test_a_picture_without_segments_is_unchanged():
    empty = Panoptic(np.zeros((120, 160), np.int32), (), THINGS, STUFF)
    assert np.array_equal(draw_panoptic(GREY, empty), GREY)


def test_a_file_has_a_strip_below():
    page = panoptic_figure(GREY, scene_of_halves())
    assert page.shape[1] >= 1000
    assert page.shape[0] > page.shape[1] * 120 // 160
    empty = Panoptic(np.zeros((120, 160), np.int32), (), THINGS, STUFF)
    assert panoptic_figure(GREY, empty).shape[0] < page.shape[0]  # no line for stuff


def test_colours_of_stuff_differ():
    colors = np.array([stuff_color(label) for label in range(53)])
    apart = np.abs(colors[:, None] - colors[None]).sum(axis=2)
    assert apart[~np.eye(53, dtype=bool)].min() >= 3
    assert np.abs(colors[1:] - colors[:-1]).sum(axis=1).min() > 60


def test_another_picture_is_refused():
    with pytest.raises(ValueError, match="as the scene has"):
        draw_panoptic(GREY[:100], scene_of_halves())
    with pytest.raises(ValueError, match="uint8 RGB image"):
        draw_panoptic(GREY[..., 0], scene_of_halves())
