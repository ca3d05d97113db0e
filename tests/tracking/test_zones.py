"""Objects in a polygon, on paper."""

import numpy as np
import pytest

from maskrcnn.structures.regions import Region
from maskrcnn.tracking.zones import ZoneCounter
from tests.tracking.made_tracks import squares

CORNERS = [(100, 100), (200, 100), (200, 200), (100, 200)]


def test_present_entered_and_dwell():
    zone = ZoneCounter(CORNERS, name="table")
    # Track 1 is in at 1 s and 2 s, out at 3 s, in at 4 s; track 2 is in all the time but not seen at 2 s; 3 never.
    ways = {1: [50, 150, 150, 50, 150], 2: [150, 150, None, 150, 150], 3: [50, 50, 50, 50, 50]}
    present = []
    for frame in range(5):
        seen = {track: way[frame] for track, way in ways.items() if way[frame] is not None}
        places = np.array([(x, 150) for x in seen.values()])
        labels = [0 if track == 1 else 1 for track in seen]
        zone.update(squares(places, list(seen), labels=labels), float(frame))
        present.append(zone.present)
    assert present == [{"fig": 1}, {"nut": 1, "fig": 1}, {"nut": 1}, {"fig": 1}, {"nut": 1, "fig": 1}]
    assert zone.entered == {"nut": 1, "fig": 1}
    assert zone.dwell_s == {1: 1.0, 2: 4.0}


def test_a_region_keeps_its_name_and_frames_stand_for_seconds():
    zone = ZoneCounter(Region("left", (np.array(CORNERS, float),)))
    for _ in range(3):
        zone.update(squares(np.array([[150, 150], [150, 150]]), [7, 0]))
    assert (zone.name, zone.present, zone.dwell_s) == ("left", {"nut": 1}, {7: 2.0})


def test_what_is_no_zone():
    with pytest.raises(ValueError, match="three or more corners"):
        ZoneCounter([(0, 0), (1, 1)])
