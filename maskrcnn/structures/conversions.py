"""A result as other libraries hold it: COCO's annotations, supervision's detections, a table of pandas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maskrcnn.optional import needed

if TYPE_CHECKING:  # its methods call these
    from maskrcnn.structures.instances import Instances

EXTRA = "interop"
"""The extra that installs both libraries."""
TRACKS = "track_ids"
"""Of the extra fields the one that supervision has a place for."""


def to_coco(instances: "Instances", category_ids: Sequence[int] | None) -> list[dict[str, Any]]:
    """See `Instances.to_coco`."""
    num = len(instances.class_names)
    ids = list(range(1, num + 1)) if category_ids is None else [int(i) for i in category_ids]
    if len(ids) != num or len(set(ids)) != len(ids):
        raise ValueError(f"expected {num} distinct category ids, one for each class, got {ids}")
    for name in ("scores", "boxes"):
        values = getattr(instances, name)
        bad = (~values.isfinite()).nonzero()[:, 0].tolist()
        if bad:
            raise ValueError(f"{name} of object {bad[0]} are no finite numbers: {values[bad[0]].tolist()}")
    rows = zip(
        instances.boxes.tolist(),
        instances.labels.tolist(),
        instances.scores.tolist(),
        instances.areas().tolist(),
        instances.rles(),
        strict=True,
    )
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


def to_supervision(instances: "Instances", *, masks: bool) -> Any:
    """See `Instances.to_supervision`."""
    supervision = needed("supervision", EXTRA, "to_supervision")
    labels = instances.labels.cpu().numpy()
    rest = {name: values.cpu().numpy() for name, values in instances.extra.items() if name != TRACKS}
    tracks = instances.extra.get(TRACKS)
    return supervision.Detections(
        xyxy=instances.boxes.cpu().numpy(),
        mask=instances.bitmaps() if masks else None,
        confidence=instances.scores.cpu().numpy(),
        class_id=labels,
        tracker_id=None if tracks is None else tracks.cpu().numpy(),
        data={"class_name": np.array([instances.class_names[label] for label in labels.tolist()], str), **rest},
    )


def to_pandas(instances: "Instances") -> Any:
    """See `Instances.to_pandas`."""
    pandas = needed("pandas", EXTRA, "to_pandas")
    labels = instances.labels.tolist()
    boxes = instances.boxes.cpu().numpy()
    columns = {
        "id": np.arange(1, len(labels) + 1),
        "class": [instances.class_names[label] for label in labels],
        "score": instances.scores.cpu().numpy(),
        **{f"box_{edge}": boxes[:, i] for i, edge in enumerate(("x0", "y0", "x1", "y1"))},
        "area_px": instances.areas(),
        **{name: values.cpu().numpy() for name, values in instances.extra.items() if values.ndim == 1},
    }
    return pandas.DataFrame(columns)
