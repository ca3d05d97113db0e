"""Arithmetic on boxes x0 y0 x1 y1 in pixels with continuous edges.

A, B, N boxes; `...` any leading dimensions.
"""

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """Areas (...) in square pixels of boxes (..., 4); a box whose corners are swapped has area 0."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return size[..., 0] * size[..., 1]


def box_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Intersection over union (A, B) of every pair of boxes (A, 4) and (B, 4); 0 where the union has no area."""
    intersection = _intersection(boxes_a, boxes_b)
    union = area(boxes_a)[:, None] + area(boxes_b)[None, :] - intersection
    return _ratio(intersection, union)


def intersection_over_area(boxes: Tensor, regions: Tensor) -> Tensor:
    """Share (A, B), 0..1, of each box (A, 4) that lies inside each region (B, 4): the overlap COCO uses for crowds.

    0 where the box has no area.
    """
    return _ratio(_intersection(boxes, regions), area(boxes)[:, None])


def clip_boxes(boxes: Tensor, image_size: tuple[float, float]) -> Tensor:
    """Boxes (..., 4) with x limited to 0..width and y to 0..height; `image_size` is (height, width)."""
    height, width = image_size
    return torch.stack(
        (
            boxes[..., 0].clamp(0, width),
            boxes[..., 1].clamp(0, height),
            boxes[..., 2].clamp(0, width),
            boxes[..., 3].clamp(0, height),
        ),
        dim=-1,
    )


def is_nonempty(boxes: Tensor) -> Tensor:
    """True (...) for boxes (..., 4) with a positive width and height; False for NaN."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def _intersection(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    a, b = boxes_a[:, None], boxes_b[None, :]
    # x and y apart: one (A, B, 2) tensor would double the peak memory with many anchors.
    width = (torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])).clamp_(min=0)
    height = (torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1])).clamp_(min=0)
    return width.mul_(height)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    # Where the whole is 0 the part is 0 too, so the clamp turns 0/0 into 0 and changes nothing else.
    return part / whole.clamp(min=torch.finfo(part.dtype).tiny)
