"""A network that finds every bright thing and nothing else, and pictures for it."""

import cv2
import numpy as np
import torch

from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from tests.tiny import CLASS_NAMES

LIMIT_REACHED = "more than {} detections, the best {} kept (detection.max_detections)"


class PerfectNetwork:
    """In the place of `model.detect`: every bright patch of its input, at most `limit`."""

    def __init__(self, limit: int = 10**6) -> None:
        self.limit = limit
        self.seen: list[tuple[int, int]] = []
        """(height, width) of every input."""
        self.sides: list[int] = []
        """Width of everything found, px of the input."""

    def __call__(self, images: ImageBatch) -> list[Instances]:
        results = []
        for i, (h, w) in enumerate(images.sizes):
            self.seen.append((h, w))
            bright = (images.pixels[i, 0, :h, :w].numpy() > 1).astype(np.uint8)
            num, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
            boxes = stats[1:, :4].astype(np.float32)
            masks = [
                cv2.resize(
                    (labels[y : y + b, x : x + a] == k).astype(np.float32), (28, 28), interpolation=cv2.INTER_AREA
                )
                for k, (x, y, a, b) in enumerate(stats[1:, :4].tolist(), start=1)
            ]
            self.sides += stats[1:, 2].tolist()
            boxes[:, 2:] += boxes[:, :2]
            kept = min(num - 1, self.limit)
            results.append(
                Instances(
                    image_size=images.original_sizes[i],
                    boxes=images.to_original(torch.from_numpy(boxes), torch.full((num - 1,), i), 0.0)[:kept],
                    labels=torch.zeros(kept, dtype=torch.int64),
                    scores=torch.from_numpy(0.5 + stats[1:, 4] / 1e6).float()[:kept],
                    mask_probs=torch.from_numpy(np.array(masks, np.float32).reshape(-1, 28, 28))[:kept],
                    class_names=CLASS_NAMES,
                    ceilings=(LIMIT_REACHED.format(self.limit, self.limit),) if num - 1 > self.limit else (),
                )
            )
        return results


def squares(size: tuple[int, int], step: int = 30, side: int = 13) -> tuple[np.ndarray, int]:
    """Black picture with white squares, and how many they are."""
    image = np.zeros((*size, 3), np.uint8)
    places = [(y, x) for y in range(5, size[0] - side, step) for x in range(5, size[1] - side, step)]
    for y, x in places:
        image[y : y + side, x : x + side] = 255
    return image, len(places)
