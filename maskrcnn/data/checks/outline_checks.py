"""Masks that can be used and look odd: outlines that cross themselves, and objects of a single pixel."""

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.checks.polygon_crossings import is_self_crossing
from maskrcnn.data.mask_reading import polygon_points
from maskrcnn.data.problems import Problem, found


def check_outlines(table: Annotations) -> list[Problem]:
    """A warning for each such mask."""
    problems = []
    for row in np.flatnonzero(table.mask_areas > 0).tolist():
        where = f"; in {table.file_names[table.image[row]]}"
        place = {"file": table.source, "annotation_id": table.names[row], "row": row}
        outlines = polygon_points(table.coco["annotations"][row]["segmentation"])
        if any(is_self_crossing(points) for points in outlines if len(points) > 3):
            problems.append(found("self-crossing-polygon", f"the outline crosses itself{where}", **place))
        if table.mask_areas[row] == 1:
            problems.append(found("one-pixel-mask", f"the mask is a single pixel{where}", **place))
    return problems
