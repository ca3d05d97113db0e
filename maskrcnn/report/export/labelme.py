"""LabelMe: <stem>.json for each picture; polygons, and for what has holes a mask."""

import base64
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.outlines import points
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.report.written import json_text
from maskrcnn.untrusted.names import utf8

KEEPS = {"class", "score", "holes", "parts", "overlaps"}
VERSION = "5.4.1"
"""Of LabelMe, whose schema this is."""


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture, whose name is in imagePath, without folders: LabelMe looks beside the JSON."""

    def add(picture: FoundPicture) -> None:
        shapes = [shape for number, found in enumerate(picture.objects) for shape in _shapes(found, number)]
        content = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": os.path.basename(utf8(picture.file_name)),
            "imageData": None,
            "imageHeight": picture.size[0],
            "imageWidth": picture.size[1],
        }
        with folder.text(f"{picture.stem}.json") as file:
            file.write(json_text(content))

    yield add


def _shapes(found: FoundObject, number: int) -> Iterator[dict[str, Any]]:
    """One for each part; an object with holes is a mask."""
    about = {
        "label": utf8(found.class_name),
        "group_id": number if len(found.outline) > 1 else None,
        "description": "" if found.score is None else f"score {found.score:.4f}",
        "flags": {},
    }
    if any(part["holes"] for part in found.outline):
        x0, y0, bitmap = found.crop
        corners = [[x0, y0], [x0 + bitmap.shape[1] - 1, y0 + bitmap.shape[0] - 1]]
        yield about | {"group_id": None, "points": corners, "shape_type": "mask", "mask": _png(bitmap)}
        return
    for part in found.outline:
        yield about | {"points": points(part["exterior"]), "shape_type": "polygon", "mask": None}


def _png(bitmap: np.ndarray) -> str:
    png = io.BytesIO()
    Image.fromarray(bitmap).save(png, "PNG")
    return base64.b64encode(png.getvalue()).decode("ascii")
