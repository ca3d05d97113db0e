"""A result as other libraries hold it: COCO's annotations, supervision's detections, a table of pandas.

N objects; the arguments are those of `Instances`, whose methods say what comes out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from maskrcnn.optional import needed
from maskrcnn.structures.rle import Rle

EXTRA = "interop"
"""The extra that installs both libraries."""
TRACKS = "track_ids"
"""Of the extra fields the one that supervision has a place for."""


def coco_annotations(
    boxes: Tensor,
    labels: Tensor,
    scores: Tensor,
    areas: np.ndarray,
    rles: Sequence[Rle],
    num_classes: int,
    category_ids: Sequence[int] | None,
) -> list[dict[str, Any]]:
    """See `Instances.to_coco`."""
    ids = list(range(1, num_classes + 1)) if category_ids is None else [int(i) for i in category_ids]
    if len(ids) != num_classes or len(set(ids)) != len(ids):
        raise ValueError(f"expected {num_classes} distinct category ids, one for each class, got {ids}")
    for name, values in (("scores", scores), ("boxes", boxes)):
        bad = (~values.isfinite()).nonzero()[:, 0].tolist()
        if bad:
            raise ValueError(f"{name} of object {bad[0]} are no finite numbers: {values[bad[0]].tolist()}")
    rows = zip(boxes.tolist(), labels.tolist(), scores.tolist(), areas.tolist(), rles, strict=True)
    return [
        {
            "category_id": ids[label],
            "score": score,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area,
            "iscrowd": 0,
            "segmentation": rle,
        }
        for (x0, y0, x1, y1), label, score, area, rle in rows
    ]


def supervision_detections(
    boxes: Tensor,
    labels: Tensor,
    scores: Tensor,
    bitmaps: np.ndarray | None,
    class_names: Sequence[str],
    extra: Mapping[str, Tensor],
) -> Any:
    """See `Instances.to_supervision`."""
    supervision = needed("supervision", EXTRA, "to_supervision")
    rest = {name: values.cpu().numpy() for name, values in extra.items() if name != TRACKS}
    return supervision.Detections(
        xyxy=boxes.cpu().numpy(),
        mask=bitmaps,
        confidence=scores.cpu().numpy(),
        class_id=labels.cpu().numpy(),
        tracker_id=extra[TRACKS].cpu().numpy() if TRACKS in extra else None,
        data={"class_name": np.array([class_names[label] for label in labels.tolist()], str), **rest},
    )


def pandas_table(
    boxes: Tensor,
    labels: Tensor,
    scores: Tensor,
    areas: np.ndarray,
    class_names: Sequence[str],
    extra: Mapping[str, Tensor],
) -> Any:
    """See `Instances.to_pandas`."""
    pandas = needed("pandas", EXTRA, "to_pandas")
    edges = boxes.cpu().numpy()
    columns = {
        "id": np.arange(1, len(edges) + 1),
        "class": [class_names[label] for label in labels.tolist()],
        "score": scores.cpu().numpy(),
        **{f"box_{edge}": edges[:, i] for i, edge in enumerate(("x0", "y0", "x1", "y1"))},
        "area_px": areas,
        **{name: values.cpu().numpy() for name, values in extra.items() if values.ndim == 1},
    }
    return pandas.DataFrame(columns)
