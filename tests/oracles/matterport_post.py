"""What matterport's Mask R-CNN does outside its convolutions: the square, anchors, proposals, crops, detections, masks.

Boxes are y1 x1 y2 x2; normalised ones run 0..1 from the first to the last pixel, so their y2 x2 lie inside. float32
where it computes in float32.
"""

from collections.abc import Sequence

import numpy as np

LAST_INSIDE = np.array([0, 0, 1, 1])  # y2 x2 of pixels lie outside the box, of normalised boxes inside


def scaled_size(size: Sequence[int], min_dim: int, max_dim: int) -> tuple[int, int]:
    """Never smaller unless the square is."""
    height, width = size
    scale = max(1, min_dim / min(height, width))
    if round(max(height, width) * scale) > max_dim:
        scale = max_dim / max(height, width)
    return round(height * scale), round(width * scale)  # half to even


def mold(picture: np.ndarray, min_dim: int, max_dim: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """uint8 square of side `max_dim` with `picture` in its middle, scaled, and where it lies there, px."""
    height, width = scaled_size(picture.shape[:2], min_dim, max_dim)
    if (height, width) != picture.shape[:2]:
        picture = resize_order1(picture.astype(np.float64), (height, width)).astype(np.uint8)  # truncated
    top, left = (max_dim - height) // 2, (max_dim - width) // 2
    square = np.zeros((max_dim, max_dim, 3), np.uint8)
    square[top : top + height, left : left + width] = picture
    return square, (top, left, top + height, left + width)


def resize_order1(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """scikit-image's resize of order 1, mode "constant", without antialiasing, of (H, W) or (H, W, C).

    Half-pixel centres; what lies outside is 0; the image's own range is the limit. The sums run in the order in which
    it makes them, since a cast to whole numbers shows their last bit.
    """
    values = np.pad(image, [(1, 1), (1, 1)] + [(0, 0)] * (image.ndim - 2))
    rows, columns = ((np.arange(new) + 0.5) * (old / new) - 0.5 for old, new in zip(image.shape, size, strict=False))
    y, x = np.meshgrid(rows, columns, indexing="ij")
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    far_y, far_x = (part.reshape(*size, *[1] * (image.ndim - 2)) for part in (y - y0, x - x0))
    resized = np.zeros((*size, *image.shape[2:]))
    for down, weight_y in ((0, 1 - far_y), (1, far_y)):
        for right, weight_x in ((0, 1 - far_x), (1, far_x)):
            resized += values[y0 + 1 + down, x0 + 1 + right] * weight_y * weight_x
    return resized.clip(image.min(), image.max())


def normalise(boxes: np.ndarray, extent: Sequence[int]) -> np.ndarray:
    height, width = extent
    return ((boxes - LAST_INSIDE) / (np.array([height, width, height, width]) - 1)).astype(np.float32)


def pyramid_anchors(
    scales: Sequence[float], ratios: Sequence[float], grids: Sequence[Sequence[int]], strides: Sequence[int]
) -> np.ndarray:
    """(A, 4) px of all levels: places row by row, the ratios (width / height) of a place together."""
    boxes = []
    for scale, (height, width), stride in zip(scales, grids, strides, strict=True):
        for y in range(height):
            for x in range(width):
                for ratio in ratios:
                    half_h, half_w = scale / np.sqrt(ratio) / 2, scale * np.sqrt(ratio) / 2
                    boxes.append([y * stride - half_h, x * stride - half_w, y * stride + half_h, x * stride + half_w])
    return np.array(boxes)


def apply_deltas(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Deltas are dy, dx, log dh, log dw."""
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + np.float32(0.5) * sides + deltas[:, :2] * sides
    sides = sides * np.exp(deltas[:, 2:])
    corners = centres - np.float32(0.5) * sides
    return np.concatenate([corners, corners + sides], axis=1)


def clip(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    return np.maximum(np.minimum(boxes, window[[2, 3, 2, 3]]), window[[0, 1, 0, 1]])


def nms(boxes: np.ndarray, scores: np.ndarray, limit: int, threshold: float) -> list[int]:
    """The best first; a box without area overlaps nothing; equal scores in the order given."""
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting) and len(kept) < limit:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[waiting, :2])
        shared = np.prod((np.minimum(boxes[best, 2:], boxes[waiting, 2:]) - corner).clip(min=0), axis=1)
        union = areas[best] + areas[waiting] - shared
        waiting = waiting[~(shared > threshold * union)]
    return kept


def propose(
    scores: np.ndarray, deltas: np.ndarray, anchors: np.ndarray, pre_nms: int, threshold: float, count: int
) -> np.ndarray:
    """`count` boxes (P, 4), the last ones zeros where there are fewer; levels don't matter."""
    best = np.argsort(-scores, kind="stable")[:pre_nms]
    boxes = clip(apply_deltas(anchors[best], deltas[best]), np.array([0, 0, 1, 1], np.float32))
    kept = nms(boxes, scores[best], count, threshold)
    padded = np.zeros((count, 4), np.float32)
    padded[: len(kept)] = boxes[kept]
    return padded


def level_of(boxes: np.ndarray, extent: Sequence[int]) -> np.ndarray:
    """2..5."""
    height, width = np.array(extent, np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    with np.errstate(divide="ignore"):
        step = np.log2(np.sqrt(sides[:, 0] * sides[:, 1]) / (np.float32(224) / np.sqrt(height * width)))
    return (4 + np.round(step)).clip(2, 5).astype(int)


def crop_and_resize(features: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """(C, size, size) of (C, h, w): one bilinear sample a bin, from corner to corner.

    Its boxes never leave the map; a sample that rounding puts outside counts as on the border. (TensorFlow makes 0 of
    such a sample, in one of 14 boxes that touch the border, and in other ones on another machine.)
    """
    _, height, width = features.shape
    y1, x1, y2, x2 = box.astype(np.float64)
    steps = np.arange(size)
    y = (y1 * (height - 1) + steps * (y2 - y1) * (height - 1) / (size - 1)).clip(0, height - 1)[:, None]
    x = (x1 * (width - 1) + steps * (x2 - x1) * (width - 1) / (size - 1)).clip(0, width - 1)[None]
    top, bottom = np.floor(y).astype(int), np.ceil(y).astype(int)
    left, right = np.floor(x).astype(int), np.ceil(x).astype(int)
    upper = features[:, top, left] + (features[:, top, right] - features[:, top, left]) * (x - left)
    lower = features[:, bottom, left] + (features[:, bottom, right] - features[:, bottom, left]) * (x - left)
    return upper + (lower - upper) * (y - top)


def refine(
    rois: np.ndarray,
    probs: np.ndarray,
    deltas: np.ndarray,
    window: np.ndarray,
    min_confidence: float,
    threshold: float,
    limit: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, class ids and scores of the detections, the best first; class 0 is the background."""
    class_ids = probs.argmax(axis=1)
    rows = np.arange(len(rois))
    scores = probs[rows, class_ids]
    boxes = clip(apply_deltas(rois, deltas[rows, class_ids]), window)
    passes = class_ids > 0
    if min_confidence:
        passes &= scores >= np.float32(min_confidence)
    kept: list[int] = []
    for class_id in np.unique(class_ids[passes]):
        members = np.flatnonzero(passes & (class_ids == class_id))
        kept += members[nms(boxes[members], scores[members], limit, threshold)].tolist()
    in_order = np.array(sorted(kept), int)
    best = in_order[np.argsort(-scores[in_order], kind="stable")][:limit]
    return boxes[best], class_ids[best], scores[best]


def to_picture(boxes: np.ndarray, window: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Boxes in pixels of the picture, not yet rounded; y2 x2 lie outside the box again."""
    height, width = size
    in_window = (boxes - window[[0, 1, 0, 1]]) / (window[2:] - window[:2])[[0, 1, 0, 1]]
    return in_window * (np.array([height, width, height, width]) - 1) + LAST_INSIDE


def unmold_mask(mask: np.ndarray, roi: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """bool (H, W)."""
    y1, x1, y2, x2 = roi
    whole = np.zeros(size, bool)
    whole[y1:y2, x1:x2] = resize_order1(mask, (y2 - y1, x2 - x1)).astype(np.float32) >= 0.5
    return whole
