"""Which track is which detection: the best assignment of all, and how much a camera moved between two frames."""

import numpy as np

MIN_VOTES = 4
"""Objects that must have moved alike for it to be the camera."""
MIN_SHARE = 0.5
"""Of all."""
MUCH_BETTER = 1.3
"""A shift must explain so many times as many objects as none does."""
_NEAR = 0.25
"""Sizes: what has moved less than this from where it was expected is where it was expected."""
_REACH = 3.0
"""Sizes: by how much more than this a camera moves from one frame to the next is not looked for."""


def assigned(similarity: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of (T, N) `similarity` that belong together, so that the sum is largest; each at least `least`.

    Pairs below that count nothing, so that none keeps two others apart.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and most commands follow nothing

    if not similarity.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    worth = np.where(similarity >= least, similarity, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    is_pair = similarity[rows, columns] >= least
    return rows[is_pair], columns[is_pair]


def camera_shift(expected: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(x, y) px by which what is seen lies beside where it was expected, all alike; 0, 0 where it does not.

    Args:
        expected: (T, 4) x, y, width, height of the tracks.
        seen: (N, 4) of the detections.
    """
    none = np.zeros(2)
    if min(len(expected), len(seen)) < MIN_VOTES:
        return none
    sizes = np.sqrt(np.maximum(expected[:, 2:].prod(axis=1), 1.0))
    steps = seen[None, :, :2] - expected[:, None, :2]  # (T, N, 2)
    alike = np.abs(np.log(np.maximum(seen[None, :, 2:], 1) / np.maximum(expected[:, None, 2:], 1))).max(axis=2) < 0.5
    is_near = alike & (np.linalg.norm(steps, axis=2) < _REACH * sizes[:, None])
    track, _ = np.nonzero(is_near)
    steps = steps[is_near]
    if not len(steps):
        return none
    cell = max(_NEAR * float(np.median(sizes)), 1.0)
    bins, vote = np.unique(np.rint(steps / cell).astype(np.int64), axis=0, return_inverse=True)
    best = steps[vote.ravel() == np.bincount(vote.ravel(), minlength=len(bins)).argmax()].mean(axis=0)
    for _ in range(2):  # to the middle of those that agree
        agree = np.linalg.norm(steps - best, axis=1) < _NEAR * sizes[track]
        best = np.median(steps[agree], axis=0) if agree.any() else best
    votes = len(np.unique(track[np.linalg.norm(steps - best, axis=1) < _NEAR * sizes[track]]))
    still = len(np.unique(track[np.linalg.norm(steps, axis=1) < _NEAR * sizes[track]]))
    is_shift = votes >= max(MIN_VOTES, MIN_SHARE * len(expected)) and votes > MUCH_BETTER * still
    return best if is_shift else none
