"""The merging of objects and a semantic map, pixel by pixel. From arXiv:1801.00868, section 5, and arXiv:1901.02446."""

import numpy as np


def merge(
    masks: np.ndarray,
    classes: list[int],
    scores: list[float],
    labels: np.ndarray,
    min_score: float,
    max_overlap: float,
    min_stuff_area: int,
) -> tuple[np.ndarray, list[tuple[int, int, bool, int]]]:
    """Segment ids (H, W) and (id, class, is it a thing, area) of each; `masks` are bool (N, H, W), labels 0 things."""
    height, width = labels.shape
    ids = np.zeros((height, width), int)
    segments = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        pixels = [(y, x) for y in range(height) for x in range(width) if masks[i, y, x]]
        if scores[i] < min_score or not pixels:
            continue
        free = [(y, x) for y, x in pixels if ids[y, x] == 0]
        if 1 - len(free) / len(pixels) > max_overlap + 1e-9 or not free:
            continue
        for y, x in free:
            ids[y, x] = len(segments) + 1
        segments.append((len(segments) + 1, classes[i], True, len(free)))
    for label in range(1, int(labels.max(initial=0)) + 1):
        pixels = [(y, x) for y in range(height) for x in range(width) if ids[y, x] == 0 and labels[y, x] == label]
        if pixels and len(pixels) >= min_stuff_area:
            for y, x in pixels:
                ids[y, x] = len(segments) + 1
            segments.append((len(segments) + 1, label - 1, False, len(pixels)))
    return ids, segments
