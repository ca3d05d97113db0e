"""Scenes judged against true ones: panoptic quality, and its parts segmentation and recognition quality.

P segments found, T true ones, K classes: things, then stuff. Paper: arXiv:1801.00868, section 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn.structures.panoptic import Panoptic, Segment

MATCH = 0.5
"""IoU above which a segment is found; so it is by one at most."""
IGNORED = 0.5
"""Part of a segment that was found, above which it is no mistake if it lies on void or on a crowd of its class."""


@dataclass(frozen=True)
class Quality:
    """Of one class, or means over several; 0..1, None where no such segment is there or found."""

    pq: float | None
    """Sum of the IoU of what was found, over the number of matches and half of all others: SQ times RQ (of a class)."""
    sq: float | None
    """Segmentation quality: mean IoU of what was found; 0 where nothing was."""
    rq: float | None
    """Recognition quality: the F score."""


@dataclass(frozen=True)
class PanopticQuality:
    """Of a set of images."""

    all: Quality
    things: Quality
    stuff: Quality
    """Means over the classes that are there or were found."""
    per_thing: tuple[Quality, ...]
    per_stuff: tuple[Quality, ...]
    thing_names: tuple[str, ...]
    stuff_names: tuple[str, ...]
    num_images: int


@dataclass(frozen=True)
class Tally:
    """What one image, or several, add to the quality of each class, (K,) each."""

    iou: np.ndarray
    """Sum over matches."""
    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray

    def __add__(self, other: "Tally") -> "Tally":
        """Of both sets of images."""
        return Tally(
            self.iou + other.iou,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


def tally(found: Panoptic, true: Panoptic, crowd_ids: Sequence[int] = ()) -> Tally:
    """The matches and mistakes of one image, by COCO's rules.

    Pixels of no true segment (void) do not count against a segment that covers them. Those of `true` that `crowd_ids`
    names are regions of many things: they need not be found, and excuse what lies in them.

    Raises:
        ValueError: scenes of other sizes or classes.
    """
    if found.image_size != true.image_size:
        raise ValueError(f"expected a scene of {true.image_size}, as the true one has, got {found.image_size}")
    if (found.thing_names, found.stuff_names) != (true.thing_names, true.stuff_names):
        raise ValueError("expected the classes of the true scene, got others")
    num_things, num_classes = len(true.thing_names), len(true.thing_names) + len(true.stuff_names)
    classes, true_classes = _classes(found.segments, num_things), _classes(true.segments, num_things)
    common = _common_pixels(found, true)  # (P + 1, T + 1), 0 for no segment
    is_crowd = np.isin([segment.id for segment in true.segments], crowd_ids)
    areas, true_areas, inside = common.sum(axis=1)[1:], common.sum(axis=0)[1:], common[1:, 1:]
    union = areas[:, None] + true_areas[None] - inside - common[1:, :1]  # without what lies on void
    may_match = (classes[:, None] == true_classes[None]) & ~is_crowd[None]
    iou = np.where(may_match, inside / np.maximum(union, 1), 0.0)
    rows, columns = np.nonzero(iou > MATCH)
    excused = common[1:, 0] + (inside * ((classes[:, None] == true_classes[None]) & is_crowd[None])).sum(axis=1)
    is_false = (excused <= IGNORED * areas) & (areas > 0)
    is_false[rows] = False
    is_missed = ~is_crowd & (true_areas > 0)
    is_missed[columns] = False
    return Tally(
        np.bincount(classes[rows], iou[rows, columns], num_classes),
        np.bincount(classes[rows], minlength=num_classes),
        np.bincount(classes[is_false], minlength=num_classes),
        np.bincount(true_classes[is_missed], minlength=num_classes),
    )


def panoptic_quality(
    tallies: Mapping[int, Tally] | Sequence[Tally], thing_names: tuple[str, ...], stuff_names: tuple[str, ...]
) -> PanopticQuality:
    """The quality of a set of images by the tally of each."""
    parts = list(tallies.values()) if isinstance(tallies, Mapping) else list(tallies)
    zeros = np.zeros(len(thing_names) + len(stuff_names))
    total = sum(parts, Tally(zeros, zeros, zeros, zeros))
    per_class = [_quality(*row) for row in zip(*(vars(total)[name].tolist() for name in vars(total)), strict=True)]
    things, stuff = per_class[: len(thing_names)], per_class[len(thing_names) :]
    means = (_mean(per_class), _mean(things), _mean(stuff))
    return PanopticQuality(*means, tuple(things), tuple(stuff), thing_names, stuff_names, len(parts))


def _classes(segments: Sequence[Segment], num_things: int) -> np.ndarray:
    """(S,) int64 out of K."""
    return np.array([s.label if s.is_thing else num_things + s.label for s in segments], np.int64)


def _common_pixels(found: Panoptic, true: Panoptic) -> np.ndarray:
    """(P + 1, T + 1) int64: pixels of each pair of segments; row and column 0 are of ids that no segment has."""
    rows, columns = _places(found), _places(true)
    num_columns = len(true.segments) + 1
    pairs = np.bincount((rows * num_columns + columns).ravel(), minlength=(len(found.segments) + 1) * num_columns)
    return pairs.reshape(-1, num_columns)


def _places(scene: Panoptic) -> np.ndarray:
    """(H, W) int64: 1 + the index of the segment that each pixel belongs to, 0 for none."""
    numbers = np.array([0, *(segment.id for segment in scene.segments)])
    order = np.argsort(numbers)
    place = np.searchsorted(numbers[order], scene.ids).clip(max=len(numbers) - 1)
    return np.where(numbers[order][place] == scene.ids, order[place], 0)


def _quality(iou: float, hits: float, false: float, missed: float) -> Quality:
    total = hits + (false + missed) / 2
    if total == 0:
        return Quality(None, None, None)
    return Quality(iou / total, iou / hits if hits else 0.0, hits / total)


def _mean(qualities: Sequence[Quality]) -> Quality:
    known = [(q.pq, q.sq, q.rq) for q in qualities if q.pq is not None]
    if not known:
        return Quality(None, None, None)
    pq, sq, rq = np.array(known, float).mean(axis=0).tolist()
    return Quality(pq, sq, rq)
