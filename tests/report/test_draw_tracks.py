"""Tracks drawn on a frame: colours that stay, nothing where nothing is, lines and zones inside the picture."""

import numpy as np
import pytest

from maskrcnn.report.draw_tracks import LINE, DrawnLine, DrawnZone, draw_tracks, track_color
from tests.tracking.made_tracks import squares

BLACK = np.zeros((120, 160, 3), np.uint8)


def found(*centres: tuple[int, int]):
    return squares(np.array(centres), side=30, size=BLACK.shape[:2])


def test_nothing_leaves_the_picture_as_it_is_and_alone():
    picture = draw_tracks(BLACK, found(), np.zeros(0, np.int64))
    assert (picture == BLACK).all()
    assert picture is not BLACK


def test_an_object_has_the_colour_of_its_track_wherever_it_is():
    first = draw_tracks(BLACK, found((40, 40), (100, 80)), np.array([3, 4]))
    later = draw_tracks(BLACK, found((100, 80), (40, 40)), np.array([3, 4]))
    np.testing.assert_array_equal(first[30, 27], later[70, 87])  # the same place in the square of track 3
    assert (first[30, 27] != first[70, 87]).any()
    assert len({track_color(track) for track in range(1, 13)}) == 12


def test_a_trail_goes_where_the_track_was():
    trails = {3: np.array([(120.5, 20.5), (140.5, 20.5)])}
    picture = draw_tracks(BLACK, found(), np.zeros(0, np.int64), trails=trails)
    np.testing.assert_allclose(picture[20, 130], track_color(3), atol=30)  # OpenCV's smooth lines are not quite full
    np.testing.assert_allclose(picture[19, 130], picture[21, 130], atol=10)
    assert not picture[60:].any()


def test_lines_zones_and_counts_are_drawn_also_where_they_leave_the_picture():
    line = DrawnLine("gate", np.array([(-50.0, 60.0), (500.0, 60.0)]), 2, 1)
    zone = DrawnZone("table", (np.array([(-20.0, 80.0), (60.0, 80.0), (60.0, 400.0)]),), 1, 4)
    picture = draw_tracks(BLACK, found(), np.zeros(0, np.int64), lines=[line], zones=[zone], counts=["1.0 s"])
    assert tuple(picture[60, 150].tolist()) == LINE
    assert picture[90, 50].any()
    assert not picture[100:, 100:].any()


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected an image \(120, 160, 3\)"):
        draw_tracks(BLACK[:50], found(), np.zeros(0, np.int64))
