"""Annotations that a model disagrees with, the most suspicious first: what somebody should look at again.

G annotations and D detections of one image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn.evaluation.ground_truth import GroundTruth
from maskrcnn.structures.instances import Instances

Kind = Literal["unannotated", "never-found", "merged", "loose-outline", "wrong-class"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MIN_IOU = 0.1
"""Of a detection and an annotation of the same object, however badly drawn."""
HIT_IOU = 0.5
"""Of a detection that is sure to mean the annotated object, so that their classes can be compared."""
INSIDE_SHARE = 0.75
"""Of the area of a detection inside an annotation that is larger than one object."""
MAX_COMMON = 0.3
"""Share of the smaller of two detections inside the other: of more, both may be the same object."""
USUAL_IOU = 0.85
"""Of annotated and found outlines that mean the same object, where an image set is too small to tell."""
MIN_PAIRS = 20
"""Pairs that tell the usual IoU of a set."""
ABSENCE = 0.5
"""Not to find an object says less than to find one: models miss what is small, pale or hidden."""


@dataclass(frozen=True)
class Suspect:
    """One place where annotation and model differ."""

    kind: Kind
    suspicion: float
    """0..1, how sure the model is; in what order to look, not a probability."""
    image_id: int
    file_name: str
    annotation: int
    """Index into the ground truth of the image; -1 for an object that nobody annotated."""
    annotation_id: str
    """What the file calls it; empty where there is none."""
    found: tuple[int, ...]
    """Indices into the detections of the image that speak against the annotation."""
    box: tuple[float, float, float, float]
    """x0 y0 x1 y1, pixels, around the annotation and what was found."""
    annotated_class: str
    found_class: str
    """Empty where there is none."""


def rank_suspects(truths: Sequence[GroundTruth], results: Sequence[Instances]) -> list[Suspect]:
    """All of a set, the most suspicious first; at most one for each annotation and each detection.

    - unannotated: a detection where nothing is annotated; its score, times the share of it outside all annotations
      and crowd regions;
    - never-found: an annotation without a detection at its place; at most `ABSENCE`, less the more likely something
      there is;
    - loose-outline: a detection of the same object has another outline; its score, or a part of it where their IoU is
      between `HIT_IOU` and the usual one of this set, from which on they agree;
    - merged: an annotation that holds two detections apart from one another; it is right only if neither is (the
      scores as for loose outlines), or if one more detection spans both;
    - wrong-class: the object was found, of another class; its score, times what is left of that of the right class.

    A model that was trained on these very annotations has learned their errors, and finds fewer of them: let it judge
    images that were held out.

    Args:
        truths: of each image.
        results: of each image, every detection down to a low score (0.05).
    """
    pairs = [_Pairs.of(truth, instances) for truth, instances in zip(truths, results, strict=True)]
    usual = _usual_iou(pairs)
    suspects = [
        suspect
        for truth, instances, one in zip(truths, results, pairs, strict=True)
        for suspect in _of_image(truth, instances, one, usual)
    ]
    return sorted(suspects, key=lambda suspect: -suspect.suspicion)


@dataclass(frozen=True)
class _Pairs:
    """Which detection is the model's word on which annotation."""

    scores: np.ndarray  # (D,) float64
    ious: np.ndarray  # (D, G); 0 for crowd regions
    inside: np.ndarray  # (D, G) share of the detection
    outside: np.ndarray  # (D,) share of the detection that no annotation or crowd region has
    between: np.ndarray  # (D, D) share of the row's detection inside the column's
    partner: np.ndarray  # (G,) detection, or -1

    @staticmethod
    def of(truth: GroundTruth, instances: Instances) -> "_Pairs":
        scores = instances.scores.detach().cpu().numpy().astype(np.float64)
        found: list[Any] = instances.rles()
        drawn: list[Any] = list(truth.rles)
        shape = len(found), len(drawn)
        if all(shape):
            ious = np.asarray(coco_mask.iou(found, drawn, [0] * len(drawn))) * ~truth.is_crowd
            inside = np.asarray(coco_mask.iou(found, drawn, [1] * len(drawn)))
            outside = 1 - np.asarray(coco_mask.iou(found, [coco_mask.merge(drawn)], [1]))[:, 0]
        else:
            ious, inside, outside = np.zeros(shape), np.zeros(shape), np.ones(len(found))
        between = np.asarray(coco_mask.iou(found, found, [1] * len(found))) if found else np.zeros((0, 0))
        return _Pairs(scores, ious, inside, outside, between, _partners(scores[:, None] * ious, ious))


def _partners(worth: np.ndarray, ious: np.ndarray) -> np.ndarray:
    """(D, G) -> (G,) the detection of each annotation, one to one, the best pairs first; -1 for none."""
    partner = np.full(worth.shape[1], -1)
    is_taken = np.zeros(worth.shape[0], bool)
    rows, columns = np.nonzero(ious > MIN_IOU)
    for k in np.argsort(-worth[rows, columns], kind="stable"):
        d, g = rows[k], columns[k]
        if partner[g] < 0 and not is_taken[d]:
            partner[g], is_taken[d] = d, True
    return partner


def _usual_iou(pairs: Iterable[_Pairs]) -> float:
    """The median of sure pairs, which a few bad annotations do not move."""
    ious = [np.zeros(0)]
    for one in pairs:
        g = np.flatnonzero(one.partner >= 0)
        d = one.partner[g]
        own = one.ious[d, g]
        ious.append(own[(own > HIT_IOU) & (one.scores[d] > HIT_IOU)])
    known = np.concatenate(ious)
    return float(np.median(known)) if len(known) >= MIN_PAIRS else USUAL_IOU


def _of_image(truth: GroundTruth, instances: Instances, pairs: _Pairs, usual: float) -> list[Suspect]:
    labels = instances.labels.cpu().numpy()
    boxes = instances.boxes.detach().cpu().numpy().astype(np.float64)
    names = instances.class_names

    def suspect(kind: Kind, suspicion: float, g: int, found: Sequence[int]) -> Suspect:
        corners = boxes[list(found)].reshape(-1, 4)
        if g >= 0:
            x, y, width, height = truth.boxes_xywh[g]
            corners = np.concatenate([corners, [[x, y, x + width, y + height]]])
        x0, y0 = corners[:, :2].min(axis=0).tolist()
        x1, y1 = corners[:, 2:].max(axis=0).tolist()
        return Suspect(
            kind=kind,
            suspicion=float(np.clip(suspicion, 0, 1)),
            image_id=truth.image_id,
            file_name=truth.file_name,
            annotation=g,
            annotation_id=truth.names[g] if g >= 0 else "",
            found=tuple(found),
            box=(x0, y0, x1, y1),
            annotated_class=names[truth.labels[g]] if g >= 0 else "",
            found_class=names[labels[found[0]]] if found else "",
        )

    suspects, used = [], set(pairs.partner.tolist())
    for g in np.flatnonzero(~truth.is_crowd).tolist():
        of_partner = _of_partner(pairs, g, labels, int(truth.labels[g]), usual)
        suspicion, kind, found = max([_never_found(pairs, g), _merged(pairs, g, usual), *of_partner])
        used.update(found)
        if suspicion > 0:
            suspects.append(suspect(kind, suspicion, g, found))
    for d in range(len(labels)):
        if d not in used and (suspicion := pairs.scores[d] * pairs.outside[d]) > 0:
            suspects.append(suspect("unannotated", suspicion, -1, (d,)))
    return suspects


_Candidate = tuple[float, Kind, tuple[int, ...]]


def _never_found(pairs: _Pairs, g: int) -> _Candidate:
    if pairs.partner[g] >= 0:
        d = int(pairs.partner[g])
        return ABSENCE * (1 - pairs.scores[d]), "never-found", (d,)
    return ABSENCE, "never-found", ()


def _of_partner(pairs: _Pairs, g: int, labels: np.ndarray, label: int, usual: float) -> list[_Candidate]:
    d = int(pairs.partner[g])
    if d < 0:
        return []
    candidates: list[_Candidate] = [(float(_contradiction(pairs, d, g, usual)), "loose-outline", (d,))]
    if labels[d] != label and pairs.ious[d, g] > HIT_IOU:
        right = pairs.scores[(labels == label) & (pairs.ious[:, g] > HIT_IOU)].max(initial=0.0)
        candidates.append((pairs.scores[d] * (1 - right), "wrong-class", (d,)))
    return candidates


def _contradiction(pairs: _Pairs, d: int | np.ndarray, g: int, usual: float) -> np.ndarray:
    """How sure the model is of another outline than the annotated one: nothing at the usual IoU, all at `HIT_IOU`."""
    return pairs.scores[d] * np.clip((usual - pairs.ious[d, g]) / (usual - HIT_IOU), 0, 1)


def _merged(pairs: _Pairs, g: int, usual: float) -> _Candidate:
    """The two detections inside the annotation, apart from one another, that contradict it most."""
    inside = np.flatnonzero((pairs.inside[:, g] > INSIDE_SHARE) & (pairs.ious[:, g] > MIN_IOU))
    doubt = 1 - _contradiction(pairs, inside, g, usual)
    common = pairs.between[np.ix_(inside, inside)]
    is_apart = np.triu(np.maximum(common, common.T) < MAX_COMMON, 1)
    if not is_apart.any():
        return 0.0, "merged", ()
    suspicion = np.where(is_apart, 1 - doubt[:, None] * doubt, -1)
    first, second = (int(inside[k]) for k in np.unravel_index(suspicion.argmax(), suspicion.shape))
    spans = pairs.scores * pairs.ious[:, g]
    spans[[first, second]] = 0
    return float(suspicion.max() * (1 - spans.max())), "merged", (first, second)
