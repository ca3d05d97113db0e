"""What was found in one picture as COCO, GeoJSON or a PNG."""

import io
from typing import Literal, get_args

import cv2

from maskrcnn.report.draw import draw
from maskrcnn.report.export.coco import coco_dict
from maskrcnn.report.export.geojson import colors_of, write_collection
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.report.written import json_text
from maskrcnn.serve.engine import Found

Answer = Literal["coco", "geojson", "png"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
MEDIA_TYPES = {"coco": "application/json", "geojson": "application/geo+json", "png": "image/png"}
UNNAMED = "image"


def answer(found: Found, name: str, kind: Answer, category_ids: tuple[int, ...]) -> bytes:
    """The body of an answer; of no object it is a data set, a collection, or a picture with nothing drawn on it."""
    if kind == "png":
        return _png(found)
    if kind == "geojson":
        return _geojson(found, name or UNNAMED)
    instances = found.instances
    data = coco_dict([(name or UNNAMED, instances)], instances.class_names, category_ids or None)
    notes = [*found.notes, *instances.notes, *instances.ceilings]
    data["info"] |= {"notes": notes} if notes else {}
    return json_text(data).encode("utf-8", "backslashreplace")


def objects_of(found: Found) -> list[FoundObject]:
    """What the export formats are made of; objects without a pixel are left out."""
    instances = found.instances
    boxes, labels = instances.boxes.tolist(), instances.labels.tolist()
    every = zip(boxes, labels, instances.scores.tolist(), instances.rles(), instances.areas().tolist(), strict=True)
    return [
        FoundObject(instances.class_names[label], rle, (box[0], box[1], box[2], box[3]), score, number=number)
        for number, (box, label, score, rle, area) in enumerate(every, start=1)
        if area
    ]


def _png(found: Found) -> bytes:
    drawn = draw(found.image, found.instances)
    return cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()


def _geojson(found: Found, name: str) -> bytes:
    picture = FoundPicture(name, "picture", found.instances.image_size, objects_of(found))
    text = io.StringIO()
    write_collection(text, picture, colors_of(found.instances.class_names))
    return text.getvalue().encode("utf-8", "backslashreplace")
