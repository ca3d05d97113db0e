"""Panoptic quality of a pair of scenes by sets of pixels. From arXiv:1801.00868, section 4, and COCO's description."""

import numpy as np

Segments = dict[int, tuple[int, set[tuple[int, int]]]]


def segments_of(ids: np.ndarray, classes: dict[int, int]) -> Segments:
    """(class, pixels) of each segment id."""
    found: Segments = {}
    for number, label in classes.items():
        pixels = {(int(y), int(x)) for y, x in zip(*np.nonzero(ids == number), strict=True)}
        if pixels:
            found[number] = label, pixels
    return found


def parts(
    found: Segments, true: Segments, crowds: set[int], all_pixels: set[tuple[int, int]]
) -> dict[int, list[float]]:
    """[sum of IoU, TP, FP, FN] of each class."""
    void = all_pixels - {pixel for _, pixels in true.values() for pixel in pixels}
    result: dict[int, list[float]] = {}
    matched, matched_true = set(), set()
    for p, (label, pixels) in found.items():
        for t, (true_label, true_pixels) in true.items():
            if t in crowds or label != true_label:
                continue
            iou = len(pixels & true_pixels) / len((pixels | true_pixels) - (pixels & void))
            if iou > 0.5:
                result.setdefault(label, [0.0, 0, 0, 0])[0] += iou
                result[label][1] += 1
                matched.add(p)
                matched_true.add(t)
    for p, (label, pixels) in found.items():
        excuse = void | {q for t in crowds if t in true and true[t][0] == label for q in true[t][1]}
        if p not in matched and len(pixels & excuse) / len(pixels) <= 0.5:
            result.setdefault(label, [0.0, 0, 0, 0])[2] += 1
    for t, (label, _) in true.items():
        if t not in matched_true and t not in crowds:
            result.setdefault(label, [0.0, 0, 0, 0])[3] += 1
    return result
