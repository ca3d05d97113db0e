"""Count objects in a zone: how many are in it, how many ever were, and for how long."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn.report.regions import centroids
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.regions import Region
from maskrcnn.tracking.lines import track_ids


@dataclass(frozen=True)
class _Stay:
    """Of an object, by its track."""

    is_in: bool  # when it was seen last
    seen_s: float
    dwell_s: float
    class_name: str
    was_in: bool


class ZoneCounter:
    """Counts objects of tracks inside a polygon, from a source of instances with track ids.

        zone = maskrcnn.ZoneCounter([(0, 0), (320, 0), (320, 240), (0, 240)], name="table")
        for frame in maskrcnn.track(predictor, "clip.mp4"):
            zone.update(frame.instances, frame.time_s)
        print(zone.present, zone.entered, zone.dwell_s)

    An object is where the centroid of its mask is. One that was in the zone before and after it was lost was in it
    meanwhile.

    Args:
        where: a `Region`, as `maskrcnn.read_regions` gives them, or the corners of a polygon, x and y in px.

    Raises:
        ValueError: fewer than three corners, or what are no finite numbers.
    """

    def __init__(self, where: Region | Sequence[Sequence[float]], *, name: str | None = None) -> None:
        if not isinstance(where, Region):
            ring = np.array(where, np.float64)
            if ring.ndim != 2 or ring.shape[0] < 3 or ring.shape[1] != 2 or not np.isfinite(ring).all():
                raise ValueError(f"zone {name or ''}: expected three or more corners x, y, got {list(where)}")
            where = Region(name or "zone", (ring,))
        self.name, self.region = name or where.name, where
        self.present: dict[str, int] = {}
        """Objects of each class that are in the zone now; classes without one are left out."""
        self._stays: dict[int, _Stay] = {}
        self._num_frames = 0

    @property
    def entered(self) -> dict[str, int]:
        """Objects of each class that ever were in the zone, each counted once, also those that were in it when they
        were first seen."""
        return dict(Counter(stay.class_name for stay in self._stays.values() if stay.was_in))

    @property
    def dwell_s(self) -> dict[int, float]:
        """How long each object that ever was in the zone was in it, by its track: s, or frames where these have no
        time."""
        return {track: stay.dwell_s for track, stay in self._stays.items() if stay.was_in}

    @property
    def class_of(self) -> dict[int, str]:
        """The class of the same objects."""
        return {track: stay.class_name for track, stay in self._stays.items() if stay.was_in}

    def update(self, instances: Instances, time_s: float | None = None) -> np.ndarray:
        """Which objects of the next frame are in the zone, bool (N,).

        Args:
            instances: with `extra["track_ids"]`; objects of track 0 are in no track.
            time_s: of the frame; None counts frames.

        Raises:
            ValueError: objects without track ids.
        """
        now_s = float(self._num_frames) if time_s is None else time_s
        self._num_frames += 1
        ids = track_ids(instances)
        is_in = self.region.contains(centroids(instances)) & (ids > 0)
        names = [instances.class_names[label] for label in instances.labels.tolist()]
        self.present = dict(Counter(names[row] for row in np.flatnonzero(is_in).tolist()))
        for row in np.flatnonzero(ids > 0).tolist():
            before = self._stays.get(int(ids[row]))
            inside = bool(is_in[row])
            dwell = before.dwell_s if before is not None else 0.0
            if before is not None and before.is_in and inside:
                dwell += now_s - before.seen_s
            was_in = inside or (before is not None and before.was_in)
            self._stays[int(ids[row])] = _Stay(inside, now_s, dwell, names[row], was_in)
        return is_in
