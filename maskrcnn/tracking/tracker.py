"""Which objects of a frame are those of the frames before: by overlap of masks and by motion.

T tracks, N detections of a frame, K classes. Papers: first the sure detections are matched and then the doubtful ones,
as in ByteTrack (arXiv:2110.06864); what was lost is looked for where it was seen last, too, as in OC-SORT
(arXiv:2203.14360).
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from maskrcnn.structures.instances import Instances
from maskrcnn.tracking.matching import assigned, camera_shift
from maskrcnn.tracking.motion import Motion
from maskrcnn.tracking.overlap import Shapes, mask_iou

NO_TRACK = 0
"""The number of an object that belongs to no track; tracks count from 1."""
MIN_IOU = 0.15
"""Of a mask with where its track is expected, for a sure detection."""
MIN_IOU_DOUBTFUL = 0.3
OTHER_CLASS = 0.5
"""What a match is worth whose class is another one, as what a thing is may be mistaken for a frame."""
REACH = 1.0
"""Sizes that an object may be away from where it is expected, one frame after it was seen; it grows with the square
root of the frames in which it is lost."""
MAX_REACH = 3.0
USUAL_OF = 31
"""Frames by whose distances it is known how far apart they usually are."""
MAX_IN_ANOTHER = 0.6
"""Of the smaller of two masks in a frame: what shares more with an object of a track is no new object, but that one
found twice, or two found as one."""
MIN_SIZE_RATIO = 0.35
"""Of the areas of two masks that are one object, where they do not overlap."""


@dataclass(frozen=True)
class TrackingRules:
    """How objects are followed."""

    sure_score: float = 0.5
    """Detections that score at least this begin tracks; those below only go on with one."""
    confirm_frames: int = 3
    """In so many frames, one after the other, an object must be seen to count."""
    max_lost_frames: int = 30
    """A track of which nothing was seen for more frames has ended."""

    def __post_init__(self) -> None:
        if not 0 <= self.sure_score <= 1:
            raise ValueError(f"sure_score: expected 0 to 1, got {self.sure_score:g}")
        if self.confirm_frames < 1:
            raise ValueError(f"confirm_frames: expected at least 1, got {self.confirm_frames}")
        if self.max_lost_frames < 0:
            raise ValueError(f"max_lost_frames: expected 0 or more, got {self.max_lost_frames}")


@dataclass(frozen=True, eq=False)
class _Tracks:
    key: np.ndarray  # (T,)
    motion: Motion
    shapes: Shapes  # as seen last, moved with the camera
    num_seen: np.ndarray  # (T,) frames
    lost: np.ndarray  # (T,) frames since it was seen, by time
    votes: np.ndarray  # (T, K) sums of scores
    is_confirmed: np.ndarray  # (T,)

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, rows: np.ndarray) -> "_Tracks":
        rest = (self.num_seen[rows], self.lost[rows], self.votes[rows], self.is_confirmed[rows])
        return _Tracks(self.key[rows], self.motion[rows], self.shapes[rows], *rest)


class Tracker:
    """Gives every object of a frame the key of its track, frame after frame.

    A key becomes a number, 1, 2, ..., when its track counts: `numbers`. As a track must be seen in a few frames on end
    for that, the numbers of a frame are final `rules.confirm_frames` - 1 frames later.
    """

    def __init__(self, rules: TrackingRules | None = None) -> None:
        self.rules = rules or TrackingRules()
        assigned(np.zeros((0, 0)), 0.0)  # scipy is imported now, not while a camera waits
        self.labels: dict[int, int] = {}
        """By number: the class of each track that counts, by the scores of all its detections."""
        self._numbers: dict[int, int] = {}
        self._tracks: _Tracks | None = None
        self._next_key = self._num_frames = 0
        self._last_s: float | None = None
        self._steps_s: deque[float] = deque(maxlen=USUAL_OF)

    def update(self, instances: Instances, time_s: float | None = None) -> np.ndarray:
        """(N,) int64 keys of the objects of the next frame; -1 for one that is too doubtful to begin a track.

        Args:
            time_s: of the frame. Without it frames are equally far apart.
        """
        shapes = Shapes.of(instances)
        scores = instances.scores.cpu().numpy().astype(np.float64)
        labels = instances.labels.cpu().numpy()
        seen = np.concatenate([shapes.centres, shapes.sides], axis=1)
        frames = self._frames_since(time_s)
        tracks = self._tracks if self._tracks is not None else _none(len(instances.class_names))
        tracks = _expected(tracks, frames, seen)
        row_of = self._match(tracks, shapes, seen, scores, labels)
        keys = np.where(row_of >= 0, tracks.key[row_of] if len(tracks) else -1, -1)
        tracks = _seen(tracks, row_of, shapes, seen, scores, labels)
        tracks = self._ended(tracks, instances.image_size)
        is_new = (row_of < 0) & (scores >= self.rules.sure_score) & ~_is_part(shapes, row_of >= 0)
        keys[is_new] = self._next_key + np.arange(is_new.sum())
        self._next_key += int(is_new.sum())
        tracks = _joined(tracks, keys[is_new], shapes[is_new], seen[is_new], scores[is_new], labels[is_new])
        self._num_frames += 1
        self._tracks = self._confirmed(tracks)
        return keys

    def numbers(self, keys: np.ndarray) -> np.ndarray:
        """The number of each track as far as it counts by now, else `NO_TRACK`."""
        return np.array([self._numbers.get(key, NO_TRACK) for key in keys.tolist()], np.int64)

    def finish(self) -> None:
        """There is no frame more: of fewer than `rules.confirm_frames`, what is in all of them counts."""
        if self._tracks is not None and self._num_frames < self.rules.confirm_frames:
            self._tracks = self._confirmed(self._tracks, self._num_frames)

    def _frames_since(self, time_s: float | None) -> float:
        """By how many frames, of the usual length, this one is later than the one before."""
        before, self._last_s = self._last_s, time_s
        if time_s is None or before is None or time_s <= before:
            return 1.0
        self._steps_s.append(time_s - before)
        return min((time_s - before) / float(np.median(self._steps_s)), 1.0 + self.rules.max_lost_frames)

    def _match(
        self, tracks: _Tracks, shapes: Shapes, seen: np.ndarray, scores: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        """(N,) the row of the track of each detection, or -1."""
        row_of = np.full(len(scores), -1, np.int64)
        if not len(tracks) or not len(scores):
            return row_of
        is_sure = scores >= self.rules.sure_score
        worth = np.where(tracks.votes.argmax(axis=1)[:, None] == labels[None], 1.0, OTHER_CLASS)
        place, motion = tracks.motion.place, tracks.motion
        expected = Shapes(
            np.concatenate([place[:, :2] - place[:, 2:] / 2, place[:, :2] + place[:, 2:] / 2], 1), tracks.shapes.grids
        )
        overlap = mask_iou(expected, shapes) * worth
        # Of detections that overlap alike the nearer one.
        sizes = np.sqrt(np.maximum(motion.place[:, 2:].prod(axis=1), 1.0))
        off = np.linalg.norm(seen[None, :, :2] - motion.place[:, None, :2], axis=2) / sizes[:, None]
        overlap_near = np.where(overlap > 0, overlap + 0.1 * np.clip(1 - off, 0, 1), 0.0)

        def take(similarity: np.ndarray, least: float, rows: np.ndarray, columns: np.ndarray) -> None:
            i, j = assigned(similarity[np.ix_(rows, columns)], least)
            row_of[columns[j]] = rows[i]

        def free() -> np.ndarray:
            return np.setdiff1d(np.arange(len(tracks)), row_of)

        sure, doubtful = np.flatnonzero(is_sure), np.flatnonzero(~is_sure)
        take(overlap_near, MIN_IOU, free(), sure)
        recent = free()
        take(overlap, MIN_IOU_DOUBTFUL, recent[tracks.lost[recent] <= 2.0], doubtful)
        # What moved farther than itself, or was lost and is back: near where it is expected, or was seen last.
        last = np.linalg.norm(seen[None, :, :2] - tracks.shapes.centres[:, None], axis=2) / sizes[:, None]
        reach = np.minimum(REACH * np.sqrt(np.maximum(tracks.lost, 1.0)), MAX_REACH)[:, None]
        areas = tracks.shapes.areas[:, None], shapes.areas[None]
        ratio = np.minimum(*areas) / np.maximum(np.maximum(*areas), 1e-9)
        near = (1 - np.minimum(off, last) / reach) * worth * np.where(ratio >= MIN_SIZE_RATIO, ratio**0.25, 0.0)
        left = sure[row_of[sure] < 0]
        take(near, 0.05, free(), left)
        return row_of

    def _ended(self, tracks: _Tracks, image_size: tuple[int, int]) -> _Tracks:
        """Without those that are lost for too long, that left the image, or that did not come to count."""
        x, y, width, height = tracks.motion.place.T
        is_in = (x + width / 2 > 0) & (y + height / 2 > 0)
        is_in &= (x - width / 2 < image_size[1]) & (y - height / 2 < image_size[0])
        is_kept = (tracks.lost == 0) | (tracks.is_confirmed & (tracks.lost <= self.rules.max_lost_frames) & is_in)
        return tracks[np.flatnonzero(is_kept)]

    def _confirmed(self, tracks: _Tracks, least: int | None = None) -> _Tracks:
        """Give those a number that count from now on, and all the class that most speaks for."""
        least = least or self.rules.confirm_frames
        is_confirmed = tracks.is_confirmed | (tracks.num_seen >= least)
        for key in tracks.key[is_confirmed & ~tracks.is_confirmed].tolist():
            self._numbers[key] = len(self._numbers) + 1
        for key, label in zip(
            tracks.key[is_confirmed].tolist(), tracks.votes[is_confirmed].argmax(axis=1).tolist(), strict=True
        ):
            self.labels[self._numbers[key]] = label
        return replace(tracks, is_confirmed=is_confirmed)


def _is_part(shapes: Shapes, is_matched: np.ndarray) -> np.ndarray:
    """(N,) whether most of an object lies in one that belongs to a track, or that one in it: it was found twice."""
    iou = mask_iou(shapes, shapes[is_matched])
    areas, others = shapes.areas[:, None], shapes.areas[is_matched][None]
    both = iou / (1 + iou) * (areas + others)
    is_part = (both > MAX_IN_ANOTHER * np.minimum(areas, others)).any(axis=1)
    return is_part & ~is_matched


def _none(num_classes: int) -> _Tracks:
    empty = Shapes(np.zeros((0, 4)), np.zeros((0, 16, 16), np.float32))
    motion = Motion.start(np.zeros((0, 4)))
    zeros = np.zeros(0, np.int64)
    return _Tracks(zeros, motion, empty, zeros, np.zeros(0), np.zeros((0, num_classes)), np.zeros(0, bool))


def _expected(tracks: _Tracks, frames: float, seen: np.ndarray) -> _Tracks:
    """Where the tracks should be now, also where the camera moved."""
    motion = tracks.motion.later(frames)
    recent = tracks.lost <= 1.0
    shift = camera_shift(motion.place[recent], seen)
    shapes = Shapes(tracks.shapes.windows + np.tile(shift, 2), tracks.shapes.grids)
    return replace(tracks, motion=motion.moved(shift), shapes=shapes, lost=tracks.lost + frames)


def _seen(
    tracks: _Tracks, row_of: np.ndarray, shapes: Shapes, seen: np.ndarray, scores: np.ndarray, labels: np.ndarray
) -> _Tracks:
    """The tracks after some of them were seen."""
    columns = np.flatnonzero(row_of >= 0)
    rows = row_of[columns]
    gap = tracks.lost[rows]
    steps = (seen[columns, :2] - tracks.shapes.centres[rows]) / np.maximum(gap, 1.0)[:, None]
    motion = tracks.motion.seen(seen[columns], rows)
    was_lost = gap > 2.0
    motion = motion.straightened(rows[was_lost], steps[was_lost])
    windows, grids = tracks.shapes.windows.copy(), tracks.shapes.grids.copy()
    windows[rows], grids[rows] = shapes.windows[columns], shapes.grids[columns]
    num_seen, lost, votes = tracks.num_seen.copy(), tracks.lost.copy(), tracks.votes.copy()
    num_seen[rows] += 1
    lost[rows] = 0.0
    votes[rows, labels[columns]] += scores[columns]
    return replace(tracks, motion=motion, shapes=Shapes(windows, grids), num_seen=num_seen, lost=lost, votes=votes)


def _joined(
    tracks: _Tracks, keys: np.ndarray, shapes: Shapes, seen: np.ndarray, scores: np.ndarray, labels: np.ndarray
) -> _Tracks:
    """The tracks and those that begin."""
    num = len(keys)
    if not num:
        return tracks
    votes = np.zeros((num, tracks.votes.shape[1]))
    votes[np.arange(num), labels] = scores
    both = np.concatenate
    return _Tracks(
        both([tracks.key, keys]),
        Motion.concatenate([tracks.motion, Motion.start(seen)]),
        Shapes(both([tracks.shapes.windows, shapes.windows]), both([tracks.shapes.grids, shapes.grids])),
        both([tracks.num_seen, np.ones(num, np.int64)]),
        both([tracks.lost, np.zeros(num)]),
        both([tracks.votes, votes]),
        both([tracks.is_confirmed, np.zeros(num, bool)]),
    )
