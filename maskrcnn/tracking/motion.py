"""Where objects will be: a Kalman filter of constant velocity for each, all at once.

T objects; of each the x and y of the middle, the width and the height, which do not depend on one another.
Paper: E. Kalman, "A New Approach to Linear Filtering and Prediction Problems", 1960; noise in proportion to the size of
the object as in DeepSORT (arXiv:1703.07402).
"""

from dataclasses import dataclass

import numpy as np

PLACE_NOISE = 0.06
"""Of where an object is seen, in its own size: how far the edges of detections jump."""
DRIFT = 0.04
"""How far the place moves by chance from frame to frame, in sizes."""
TURN = 0.03
"""How much a velocity changes from frame to frame, in sizes for each frame."""
FIRST_SPEED = 0.5
"""What is not known of a new object's velocity: sizes for each frame."""
SIDE_CHANGE = 0.2
"""Of all this for width and height, as things keep their size."""


@dataclass(frozen=True, eq=False)
class Motion:
    """What is believed of each object, in px and px for each frame."""

    place: np.ndarray
    """(T, 4): x, y, width, height."""
    velocity: np.ndarray
    """(T, 4)."""
    variance: np.ndarray
    """(T, 4, 3): of the place, of both together, of the velocity."""

    @classmethod
    def start(cls, seen: np.ndarray) -> "Motion":
        """Objects that are seen for the first time, (T, 4)."""
        scale = _scale(seen)
        variance = np.stack([(PLACE_NOISE * scale) ** 2, 0 * scale, (FIRST_SPEED * scale) ** 2], axis=2)
        return cls(seen.astype(np.float64), np.zeros_like(seen, np.float64), variance)

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, rows: np.ndarray) -> "Motion":
        return Motion(self.place[rows], self.velocity[rows], self.variance[rows])

    @classmethod
    def concatenate(cls, parts: "list[Motion]") -> "Motion":
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("place", "velocity", "variance")))

    def later(self, frames: float) -> "Motion":
        """The same after so many frames in which nothing is seen."""
        scale = _scale(self.place)
        p, pv, v = np.moveaxis(self.variance, 2, 0)
        variance = (
            p + 2 * frames * pv + frames**2 * v + frames * (DRIFT * scale) ** 2,
            pv + frames * v,
            v + frames * (TURN * scale) ** 2,
        )
        place = self.place + frames * self.velocity
        place[:, 2:] = np.maximum(place[:, 2:], 1.0)
        return Motion(place, self.velocity, np.stack(variance, axis=2))

    def moved(self, shift: np.ndarray) -> "Motion":
        """The same where the camera turned, so that everything moves by (x, y) px."""
        place = self.place.copy()
        place[:, :2] += shift
        return Motion(place, self.velocity, self.variance)

    def seen(self, where: np.ndarray, rows: np.ndarray) -> "Motion":
        """The same after the objects `rows` were seen at `where`, (len(rows), 4)."""
        p, pv, v = np.moveaxis(self.variance[rows], 2, 0)
        surprise = where - self.place[rows]
        total = p + (PLACE_NOISE * _scale(where)) ** 2
        gain, gain_v = p / total, pv / total
        place, velocity, variance = self.place.copy(), self.velocity.copy(), self.variance.copy()
        place[rows] += gain * surprise
        velocity[rows] += gain_v * surprise
        variance[rows] = np.stack([(1 - gain) * p, (1 - gain) * pv, v - gain_v * pv], axis=2)
        return Motion(place, velocity, variance)

    def straightened(self, rows: np.ndarray, velocity: np.ndarray) -> "Motion":
        """The same where the velocity (len(rows), 2) of some is known from where they were before they were lost.

        Paper: the observation-centric re-update of OC-SORT, arXiv:2203.14360, on a straight line.
        """
        velocities, variance = self.velocity.copy(), self.variance.copy()
        velocities[rows, :2], velocities[rows, 2:] = velocity, 0.0
        variance[rows, :, 1] = 0.0
        variance[rows, :, 2] = (2 * TURN * _scale(self.place[rows])) ** 2
        return Motion(self.place, velocities, variance)


def _scale(place: np.ndarray) -> np.ndarray:
    """(T, 4): the size of each object, and what its sides change by."""
    size = np.sqrt(np.maximum(place[:, 2:3], 1.0) * np.maximum(place[:, 3:4], 1.0))
    return size * np.array([1.0, 1.0, SIDE_CHANGE, SIDE_CHANGE])
