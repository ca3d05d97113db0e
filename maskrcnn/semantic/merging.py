"""Objects and a semantic map made into one scene, in which every pixel belongs to one segment or to none.

H W of the picture. Paper: arXiv:1801.00868, section 5, with the rules of arXiv:1901.02446.
"""

from dataclasses import dataclass

import numpy as np

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.label_map import THINGS
from maskrcnn.structures.panoptic import Panoptic, Segment


@dataclass(frozen=True)
class MergingRules:
    """See `SemanticHeadSettings`."""

    min_score: float = 0.5
    max_overlap: float = 0.5
    min_stuff_area: int = 4096


def merge(instances: Instances, labels: np.ndarray, stuff_names: tuple[str, ...], rules: MergingRules) -> Panoptic:
    """The scene of the objects of a picture and the label (H, W) of every pixel: 0 for things, 1.. for `stuff_names`.

    Objects are laid down by their scores, the best first, each where none lies yet; those of `min_score` or more,
    unless more than `max_overlap` of their pixels are covered. What they leave is stuff, of every kind that has
    `min_stuff_area` pixels there. Segments are numbered in this order from 1 on, stuff in the order of its labels.

    Raises:
        ValueError: labels of another picture, or above the number of names.
    """
    if labels.shape != instances.image_size:
        raise ValueError(f"expected labels of a picture of {instances.image_size}, got {labels.shape}")
    if int(labels.max(initial=0)) > len(stuff_names):
        raise ValueError(f"expected labels up to {len(stuff_names)}, got {labels.max()}")
    ids = np.zeros(labels.shape, np.int32)
    segments = _lay_objects(ids, instances, rules)
    segments += _fill_with_stuff(ids, labels, len(stuff_names), len(segments) + 1, rules)
    return Panoptic(ids, tuple(segments), instances.class_names, stuff_names)


def _lay_objects(ids: np.ndarray, instances: Instances, rules: MergingRules) -> list[Segment]:
    """Write their numbers into `ids`, each within the window of its mask."""
    scores = instances.scores.cpu().numpy()
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= np.float32(rules.min_score)]
    segments: list[Segment] = []
    for row, (x0, y0, bitmap) in zip(order.tolist(), instances[order].crops(), strict=True):
        area = int(bitmap.sum())
        window = ids[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]]
        is_free = bitmap & (window == 0)
        num_free = int(is_free.sum())
        # With a limit of 1 an object may be covered whole, and then it is no segment.
        if num_free == 0 or (area - num_free) / area > rules.max_overlap:
            continue
        number = len(segments) + 1
        window[is_free] = number
        label = int(instances.labels[row])
        segments.append(Segment(number, label, True, num_free, float(scores[row]), row))
    return segments


def _fill_with_stuff(
    ids: np.ndarray, labels: np.ndarray, num_stuff: int, first_id: int, rules: MergingRules
) -> list[Segment]:
    is_free = ids == 0
    free_labels = labels[is_free]
    areas = np.bincount(free_labels, minlength=num_stuff + 1)
    areas[THINGS] = 0  # an object that no detection claims
    kept = np.flatnonzero((areas >= rules.min_stuff_area) & (areas > 0))
    id_of_label = np.zeros(num_stuff + 1, np.int32)
    id_of_label[kept] = np.arange(first_id, first_id + len(kept))
    ids[is_free] = id_of_label[free_labels]
    return [
        Segment(int(id_of_label[label]), label - 1, False, area)
        for label, area in zip(kept.tolist(), areas[kept].tolist(), strict=True)
    ]
