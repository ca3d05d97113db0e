"""Masks for boxes that a person or another detector gave: the mask head outlines them, the box head may name them.

N images; D boxes of all of them; K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maskrcnn.model.box_head import Detections, to_instances
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from maskrcnn.untrusted.spelling import did_you_mean

Boxes = np.ndarray | Tensor | Sequence[Sequence[float]]
"""(N, 4) x0 y0 x1 y1 in px of the image."""
Labels = Sequence[int | str | None] | np.ndarray | Tensor | None
"""(N,) class indices or names; None, for all or for one, for the class that the box head finds the likeliest."""
SLACK_PX = 1.0
"""Boxes may leave the image by so much, as they do in files that count edges in another way; they are cut there."""


def checked_boxes(boxes: Boxes, image_size: tuple[int, int]) -> Tensor:
    """`boxes` as float32 (N, 4) inside an image of (height, width).

    Raises:
        ValueError: another shape, a number that is not finite, an empty box, or one that leaves the image.
    """
    given = torch.as_tensor(np.asarray(boxes, np.float64).reshape(-1, 4) if len(boxes) == 0 else np.asarray(boxes))
    if given.ndim != 2 or given.shape[1] != 4:
        raise ValueError(f"boxes: expected (N, 4), x0 y0 x1 y1 in px, got {tuple(given.shape)}")
    given = given.double()
    height, width = image_size
    limit = given.new_tensor([width, height] * 2)
    leaves = (given < -SLACK_PX) | (given > limit + SLACK_PX)
    inside = torch.minimum(given.clamp(min=0), limit)
    for is_bad, what in (
        (~given.isfinite().all(dim=1), "is not finite"),
        ((given[:, 2:] <= given[:, :2]).any(dim=1), "is empty: expected x0 < x1 and y0 < y1"),
        (leaves.any(dim=1), f"leaves the image of {width} x {height} px"),
        ((inside[:, 2:] <= inside[:, :2]).any(dim=1), f"lies outside the image of {width} x {height} px"),
    ):
        if is_bad.any():
            row = int(is_bad.nonzero()[0, 0])
            numbers = " ".join(f"{value:g}" for value in given[row].tolist())
            raise ValueError(f"box {row} (x0 y0 x1 y1 = {numbers}) {what}")
    return inside.float()


def checked_labels(labels: Labels, num_boxes: int, class_names: Sequence[str]) -> Tensor | None:
    """`labels` as int64 (N,), -1 for those that are None; None for None.

    Raises:
        ValueError: not one for each box, or a class that there is not.
    """
    if labels is None:
        return None
    numbers = []
    for label in labels if isinstance(labels, list | tuple) else np.asarray(labels).tolist():
        if isinstance(label, str) and label not in class_names:
            raise ValueError(f"labels: no class {label!r}{did_you_mean(label, class_names)}")
        numbers.append(class_names.index(label) if isinstance(label, str) else -1 if label is None else int(label))
    if len(numbers) != num_boxes:
        raise ValueError(f"labels: expected one for each of {num_boxes} boxes, got {len(numbers)}")
    known = [n for n, label in zip(numbers, labels, strict=True) if label is not None]
    if any(not 0 <= number < len(class_names) for number in known):
        raise ValueError(f"labels: expected 0 to {len(class_names) - 1}, got {min(known)} to {max(known)}")
    return torch.tensor(numbers, dtype=torch.int64)


def masks_in_boxes(
    model: MaskRCNN, images: ImageBatch, boxes: Sequence[Tensor], labels: Sequence[Tensor | None]
) -> list[Instances]:
    """Instances of each image with the given boxes (n, 4), px of the original image, in their order.

    Scores are the box head's probability of the label. Call under `torch.inference_mode()` and in eval mode.
    """
    device = images.pixels.device
    dense = model.dense(images.pixels)
    image_idx = torch.arange(len(boxes)).repeat_interleave(torch.tensor([len(part) for part in boxes])).to(device)
    at_image = torch.cat(list(boxes)).to(device)
    padded = images.from_original(at_image, image_idx, model.box_head.edge)
    head = model.box_head
    class_logits, _ = head(head.pooler(dense.levels, padded, image_idx, images.padded_size, head.resolution))
    probs = class_logits.softmax(dim=1)[:, : head.num_classes]
    best = probs.argmax(dim=1)
    given = torch.cat([torch.full((len(b),), -1) if one is None else one for b, one in zip(boxes, labels, strict=True)])
    given = given.to(device)
    label = torch.where(given >= 0, given, best)
    score = probs.gather(1, label[:, None])[:, 0]
    found = Detections(padded, label, score, image_idx, at_image)
    for each in model.heads:
        found = each.detect(dense.levels, images, found)
    return to_instances(found, images, model.class_names)
