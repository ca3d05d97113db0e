"""Counting hits and errors of one image from bitmaps, for one IoU threshold and one class."""

import numpy as np


def count_matches(
    objects: list[np.ndarray],
    crowds: list[np.ndarray],
    predictions: list[tuple[float, np.ndarray]],
    iou_threshold: float,
    score_threshold: float,
) -> tuple[int, int, int]:
    """TP, FP, FN. All masks are bool (H, W); `predictions` are (score, mask), no two of the same score."""
    free = list(range(len(objects)))
    hits = false_alarms = 0
    for score, mask in sorted(predictions, key=lambda prediction: -prediction[0]):
        if score < score_threshold:
            continue
        ious = {g: (mask & objects[g]).sum() / (mask | objects[g]).sum() for g in free}
        best = max(ious, key=lambda g: ious[g], default=None)
        if best is not None and ious[best] > iou_threshold:
            free.remove(best)
            hits += 1
        elif all((mask & crowd).sum() <= 0.5 * mask.sum() for crowd in crowds):
            false_alarms += 1
    return hits, false_alarms, len(free)
