"""Suppression one box at a time, in Python numbers."""

from tests.oracles.box_iou import Box, box_iou


def nms(boxes: list[Box], scores: list[float], groups: list[int], iou_threshold: float) -> list[int]:
    """Indices of the kept boxes, the best first; equal scores in the order given."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        rivals = [k for k in kept if groups[k] == groups[i]]
        if all(box_iou([boxes[k]], [boxes[i]])[0][0] <= iou_threshold for k in rivals):
            kept.append(i)
    return kept
