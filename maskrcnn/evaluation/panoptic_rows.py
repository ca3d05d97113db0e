"""Panoptic quality in rows: for tables on a terminal and on the page."""

from maskrcnn.evaluation.panoptic_quality import PanopticQuality, Quality
from maskrcnn.report.text import NO_VALUE

HEADER = ["panoptic quality", "PQ", "SQ", "RQ"]


def panoptic_rows(quality: PanopticQuality) -> list[list[str]]:
    """Means over all classes, over things and over stuff, then every class that is there or was found."""
    rows = [
        _row(f"all {len(quality.thing_names) + len(quality.stuff_names)} classes", quality.all),
        _row("things", quality.things),
        _row("stuff", quality.stuff),
    ]
    names = zip((*quality.thing_names, *quality.stuff_names), (*quality.per_thing, *quality.per_stuff), strict=True)
    return rows + [_row(name, one) for name, one in names if one.pq is not None]


def _row(name: str, quality: Quality) -> list[str]:
    values = (quality.pq, quality.sq, quality.rq)
    return [name, *(NO_VALUE if value is None else f"{value:.3f}" for value in values)]
