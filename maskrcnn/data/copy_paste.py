"""Objects of one training image pasted onto another (G instances).

Paper: arXiv:2012.07177, without its smoothing of the edges, which it found to make no difference.
"""

from dataclasses import replace

import cv2
import numpy as np
import torch

from maskrcnn.data.transforms import Sample
from maskrcnn.structures.label_map import THINGS, LabelMap
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets

Crop = tuple[int, int, np.ndarray]  # x0, y0 and a bool bitmap (h, w), in pixels of the image


def paste_objects(sample: Sample, other: Sample, rng: np.random.Generator, min_visible_px: float = 1.0) -> Sample:
    """`sample` with a random part of the objects of `other` over it, at the places they have there.

    What they hide is taken from the masks below; an object of which less than `min_visible_px` along a side of its box
    is left goes. Images of other sizes are laid over one another at their top left corners.
    """
    height, width = (min(a, b) for a, b in zip(sample.image.shape[:2], other.image.shape[:2], strict=True))
    chosen = torch.from_numpy(rng.random(len(other.targets)) < 0.5)
    pasted = other.targets[chosen]
    pasted_crops = _bitmaps(pasted, (height, width))
    if not any(bitmap.any() for _, _, bitmap in pasted_crops):
        return sample
    cover = np.zeros((height, width), bool)
    for x0, y0, bitmap in pasted_crops:
        cover[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]] |= bitmap
    image = sample.image.copy()
    image[:height, :width][cover] = other.image[:height, :width][cover]
    crops = _bitmaps(sample.targets, (sample.image.shape[0], sample.image.shape[1]))
    for x0, y0, bitmap in crops:
        hidden = cover[y0 : y0 + bitmap.shape[0], x0 : x0 + bitmap.shape[1]]
        bitmap[: hidden.shape[0], : hidden.shape[1]] &= ~hidden
    parts = [
        _with_masks(sample.targets, crops),
        _with_masks(replace(pasted, ignore_boxes=pasted.ignore_boxes[:0]), pasted_crops),
    ]
    targets = Targets.concatenate(parts)
    is_kept = (targets.boxes[:, 2:] - targets.boxes[:, :2]).amin(dim=1) >= max(min_visible_px, 1)
    targets = targets[is_kept]
    if targets.label_map is not None:
        labels = targets.label_map.sample((image.shape[0], image.shape[1])).to(torch.uint8).numpy()
        labels[:height, :width][cover] = THINGS
        targets = replace(targets, label_map=LabelMap.of_pixels(labels))
    return replace(sample, image=image, targets=targets)


def _with_masks(targets: Targets, crops: list[Crop]) -> Targets:
    """`targets` with other masks, in the frame of the image, and boxes tight around them."""
    tight = [_tight(crop) for crop in crops]
    boxes = [[x, y, x + bitmap.shape[1], y + bitmap.shape[0]] for x, y, bitmap in tight]
    return replace(
        targets,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        masks=MaskCrops.from_bitmaps(tight),
    )


def _bitmaps(targets: Targets, size: tuple[int, int]) -> list[Crop]:
    """The masks as pixels of an image of `size` (height, width), each within the window of its box."""
    masks, crops = targets.masks, []
    linear, shift = np.split(masks.to_source.double().numpy(), [2], axis=1)
    windows, offsets = masks.windows.numpy(), masks.offsets.numpy()
    for g, box in enumerate(targets.boxes.numpy()):
        x0, y0 = np.floor(box[:2]).astype(int).clip(0)
        x1, y1 = np.minimum(np.ceil(box[2:]).astype(int), [size[1], size[0]])
        if x1 <= x0 or y1 <= y0:
            crops.append((0, 0, np.zeros((1, 1), bool)))
            continue
        left, top, right, bottom = windows[g].tolist()
        source = masks.pixels[offsets[g] : offsets[g + 1]].numpy().reshape(bottom - top, right - left)
        # From the index of a pixel to that of a source pixel: centres lie half a pixel further.
        origin = linear @ [[x0 + 0.5], [y0 + 0.5]] + shift - [[left + 0.5], [top + 0.5]]
        values = cv2.warpAffine(
            source.astype(np.float32),
            np.hstack([linear, origin]),
            (int(x1 - x0), int(y1 - y0)),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        crops.append((int(x0), int(y0), values >= 0.5))
    return crops


def _tight(crop: Crop) -> Crop:
    """Without empty rows and columns at the borders; (0, 0) pixels where nothing is left."""
    x0, y0, bitmap = crop
    rows, columns = bitmap.any(axis=1).nonzero()[0], bitmap.any(axis=0).nonzero()[0]
    if len(rows) == 0:
        return x0, y0, bitmap[:0, :0]
    top, left = int(rows[0]), int(columns[0])
    return x0 + left, y0 + top, bitmap[top : rows[-1] + 1, left : columns[-1] + 1]
