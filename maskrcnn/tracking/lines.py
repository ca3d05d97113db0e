"""Count objects that cross a line: each once in each direction, also where it trembles on the line.

N objects of a frame.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn.report.regions import centroids
from maskrcnn.structures.instances import Instances

HYSTERESIS_PX = 4.0
"""How far from a line the centroid of an object must be to be on a side of it."""
TRACK_IDS = "track_ids"
"""The name of the numbers of tracks among the extra fields of a result."""


@dataclass(frozen=True)
class Crossing:
    """An object went over a line."""

    line: str
    direction: str
    """"in" to the right of the way from the line's first point to its second, as seen on the image; "out" to its left.
    A line from top to bottom counts in to the left."""
    track: int
    label: int
    row: int
    """Of the object in its frame."""
    frame: int
    time_s: float | None


@dataclass(frozen=True)
class _Where:
    """Of an object, by its track."""

    beside: float  # px to the right of the line, in the last frame
    along: float  # of the line's length from its start
    side: int  # 1 right, -1 left, 0 not known yet: where it was last for certain
    is_through: bool  # it went over the line, and not around an end, since then


class LineCounter:
    """Counts objects of tracks that cross a line, from a source of instances with track ids.

        line = maskrcnn.LineCounter((0, 240), (640, 240), name="gate")
        for frame in maskrcnn.track(predictor, "clip.mp4"):
            line.update(frame.instances)
        print(line.counts)  # {"in": {"car": 3}, "out": {"car": 1}}

    Where an object is says the centroid of its mask. It is on a side once that is `hysteresis_px` beyond the line, and
    crosses the line when it comes to the other side between the line's ends. One that trembles on the line does not
    cross it, nor does one that turns back on it. In each direction an object counts once.

    Args:
        start, end: x, y of the line's ends, px.
        hysteresis_px: see above; half of a small object is a good value.

    Raises:
        ValueError: a line without a length, or a hysteresis below 0.
    """

    def __init__(
        self,
        start: Sequence[float],
        end: Sequence[float],
        *,
        name: str = "line",
        hysteresis_px: float = HYSTERESIS_PX,
    ) -> None:
        points = np.array([start, end], np.float64)
        if points.shape != (2, 2) or not np.isfinite(points).all() or (points[0] == points[1]).all():
            raise ValueError(f"line {name}: expected two different points x, y, got {tuple(start)} and {tuple(end)}")
        if not 0 <= hysteresis_px < np.inf:
            raise ValueError(f"line {name}: expected a hysteresis of 0 px or more, got {hysteresis_px:g}")
        self.name, self.points, self.hysteresis_px = name, points, hysteresis_px
        self.crossings: Counter[tuple[str, str]] = Counter()
        """By direction and class."""
        self._where: dict[int, _Where] = {}
        self._counted: set[tuple[int, str]] = set()
        self._num_frames = 0

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Objects that went in and out, by class; classes of which none did are left out."""
        return {
            way: {name: n for (direction, name), n in self.crossings.items() if direction == way}
            for way in ("in", "out")
        }

    def update(self, instances: Instances, frame: int | None = None, time_s: float | None = None) -> list[Crossing]:
        """What crosses the line from the frame before to this one.

        Args:
            instances: with `extra["track_ids"]`; objects of track 0 are in no track.
            frame: its number; None counts.

        Raises:
            ValueError: objects without track ids.
        """
        number = self._num_frames if frame is None else frame
        self._num_frames = number + 1
        ids, points = track_ids(instances), centroids(instances)
        start, way = self.points[0], self.points[1] - self.points[0]
        length = float(np.linalg.norm(way))
        beside = (points - start) @ np.array([-way[1], way[0]]) / length
        along = (points - start) @ way / length**2
        labels = instances.labels.tolist()
        found = []
        for row in np.flatnonzero((ids > 0) & np.isfinite(beside)).tolist():
            track = int(ids[row])
            before = self._where.get(track)
            now = self._step(before, float(beside[row]), float(along[row]))
            self._where[track] = now
            is_other = before is not None and before.side != 0 and before.side != now.side
            direction = "in" if now.side > 0 else "out"
            if not is_other or not now.is_through or (track, direction) in self._counted:
                continue
            self._counted.add((track, direction))
            self.crossings[direction, instances.class_names[labels[row]]] += 1
            found.append(Crossing(self.name, direction, track, labels[row], row, number, time_s))
        return found

    def _step(self, before: _Where | None, beside: float, along: float) -> _Where:
        """Where an object is now, by where it was."""
        is_certain = abs(beside) > self.hysteresis_px
        side = (1 if beside > 0 else -1) if is_certain else 0
        if before is None:
            return _Where(beside, along, side, False)
        is_through = before.is_through if before.side == 0 or abs(before.beside) <= self.hysteresis_px else False
        if (before.beside > 0) != (beside > 0):
            part = before.beside / (before.beside - beside)
            is_through = 0.0 <= before.along + part * (along - before.along) <= 1.0
        return _Where(beside, along, side or before.side, is_through)


def track_ids(instances: Instances) -> np.ndarray:
    """(N,) the track of each object, 0 for none.

    Raises:
        ValueError: objects without track ids.
    """
    ids = instances.extra.get(TRACK_IDS)
    if ids is None:
        raise ValueError(f'expected instances with extra["{TRACK_IDS}"], as maskrcnn.track gives them')
    return ids.cpu().numpy()
