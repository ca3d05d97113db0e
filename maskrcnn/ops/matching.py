"""Which object each anchor or proposal stands for.

Letters: G objects, A anchors or proposals.
"""

import torch
from torch import Tensor


def match(
    iou: Tensor, foreground_iou: float, background_iou: float, keep_best_of_object: bool
) -> tuple[Tensor, Tensor]:
    """Assign the A candidates to the G objects of one image.

    A candidate is positive from `foreground_iou` on, negative below `background_iou`, else neither. With
    `keep_best_of_object` the best candidates of every object (all that tie) are positive too, whatever their IoU
    (arXiv:1506.01497, section 3.1.2), still matched to their own best object.

    Args:
        iou: (G, A), G may be 0.

    Returns:
        `object_idx` (A,) int64, the best object of each candidate (0 where there is none), and `kind` (A,) int8:
        1 positive, 0 negative, -1 neither.
    """
    num_objects, num_candidates = iou.shape
    kind = torch.zeros(num_candidates, dtype=torch.int8, device=iou.device)
    if num_objects == 0:
        return torch.zeros(num_candidates, dtype=torch.int64, device=iou.device), kind
    best_iou, object_idx = iou.max(dim=0)
    kind[best_iou >= background_iou] = -1
    kind[best_iou >= foreground_iou] = 1
    if keep_best_of_object:
        best_of_object = iou.max(dim=1, keepdim=True).values  # (G, 1)
        is_best = ((iou == best_of_object) & (best_of_object > 0)).any(dim=0)
        kind[is_best] = 1
    return object_idx, kind
