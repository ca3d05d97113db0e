"""Objects at places that a test says, as instances with track ids."""

import numpy as np
import torch

from maskrcnn.structures.instances import Instances
from maskrcnn.structures.runs import Runs


def squares(
    centres: np.ndarray,
    tracks: list[int] | np.ndarray | None = None,
    *,
    side: int = 5,
    size: tuple[int, int] = (400, 400),
    labels: list[int] | None = None,
    scores: list[float] | None = None,
    class_names: tuple[str, ...] = ("nut", "fig"),
) -> Instances:
    """A square around each centre (N, 2), to the nearest pixel; they must lie inside the image."""
    corners = np.floor(np.asarray(centres, float).reshape(-1, 2) - side / 2 + 0.5).astype(int)
    num = len(corners)
    crops = [(x, y, np.ones((side, side), bool)) for x, y in corners.tolist()]
    return Instances(
        image_size=size,
        boxes=torch.tensor(np.concatenate([corners, corners + side], axis=1), dtype=torch.float32),
        labels=torch.tensor(labels or [0] * num, dtype=torch.int64),
        scores=torch.tensor(scores or [0.9] * num, dtype=torch.float32),
        mask_probs=torch.ones(num, 1, 1),
        class_names=class_names,
        pixels=Runs.of_crops(crops, size),
        extra={} if tracks is None else {"track_ids": torch.tensor(tracks, dtype=torch.int64)},
    )
