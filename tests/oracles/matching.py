"""Matching one candidate at a time."""


def match(
    iou: list[list[float]], num_candidates: int, foreground_iou: float, background_iou: float, keep_best: bool
) -> tuple[list[int], list[int]]:
    """The best object of each candidate, and 1, 0 or -1 for positive, negative or neither; `iou` is (G, A)."""
    objects, kinds = [], []
    for a in range(num_candidates):
        overlaps = [row[a] for row in iou]
        best = max(overlaps, default=0.0)
        objects.append(overlaps.index(best) if overlaps else 0)
        kind = 1 if overlaps and best >= foreground_iou else 0 if best < background_iou else -1
        if keep_best and any(row[a] > 0 and row[a] == max(row) for row in iou):
            kind = 1
        kinds.append(kind)
    return objects, kinds
