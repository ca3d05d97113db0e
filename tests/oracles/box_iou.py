"""Box overlaps one pair at a time, in Python numbers."""

Box = list[float]


def area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def intersection(a: Box, b: Box) -> float:
    return area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])


def box_iou(boxes_a: list[Box], boxes_b: list[Box]) -> list[list[float]]:
    def iou(a: Box, b: Box) -> float:
        union = area(a) + area(b) - intersection(a, b)
        return intersection(a, b) / union if union > 0 else 0.0

    return [[iou(a, b) for b in boxes_b] for a in boxes_a]


def intersection_over_area(boxes: list[Box], regions: list[Box]) -> list[list[float]]:
    return [[intersection(a, b) / area(a) if area(a) > 0 else 0.0 for b in regions] for a in boxes]
