"""Non-maximum suppression within groups (levels, classes, images)."""

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor


def _torchvision_nms() -> Callable[[Tensor, Tensor, float], Tensor]:
    """torchvision's operation without its Python, which takes longer to import than torch itself."""
    package = importlib.util.find_spec("torchvision")
    for folder in (package and package.submodule_search_locations) or ():
        for library in Path(folder).glob("_C*"):  # _C, or _C_stable in newer ones
            with suppress(OSError):
                torch.ops.load_library(library)
    if hasattr(torch.ops.torchvision, "nms"):
        return torch.ops.torchvision.nms
    from torchvision.ops import nms  # or its error says why not

    return nms


nms = _torchvision_nms()


def grouped_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the kept boxes, by decreasing score.

    A box goes when a better one of the same group overlaps it by more than `iou_threshold`. Equal scores keep their
    order.

    Args:
        boxes: (N, 4) float.
        scores: (N,) float.
        groups: (N,) integers >= 0; boxes of different groups never touch one another.
    """
    if boxes.is_cuda:
        # One call: groups are moved apart. In float64 the shift costs no precision.
        extent = boxes.double().abs().max().clamp(min=1.0) * 2 + 1 if len(boxes) else 0.0
        return nms(boxes.double() + (groups.double() * extent)[:, None], scores.double(), iou_threshold)
    if not boxes.is_cpu:  # of another make, which may know no float64
        return grouped_nms(boxes.cpu(), scores.cpu(), groups.cpu(), iou_threshold).to(boxes.device)
    # On a CPU suppression is quadratic in the group, so small groups beat one call.
    is_kept = torch.zeros(len(boxes), dtype=torch.bool)
    for group in groups.unique():
        members = (groups == group).nonzero().squeeze(1)
        is_kept[members[nms(boxes[members], scores[members], iou_threshold)]] = True
    kept = is_kept.nonzero().squeeze(1)
    return kept[scores[kept].sort(descending=True, stable=True).indices]
