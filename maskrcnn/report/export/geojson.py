"""GeoJSON: <stem>.geojson in pixels, as QuPath imports it; and for a GeoTIFF map/<stem>.geojson on the map."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from maskrcnn.report.export.folder import ExportFolder, write_list
from maskrcnn.report.export.outlines import closed
from maskrcnn.report.export.picture import FoundObject, FoundPicture, GeoReference
from maskrcnn.report.palette import BRIGHT
from maskrcnn.report.written import json_text
from maskrcnn.untrusted.names import utf8

KEEPS = {"class", "score", "holes", "parts", "overlaps"}
_SPACE = uuid.UUID("1f6b8d5e-3c55-5a0c-9a52-0f3c6f0f8a11")


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture."""
    colors = colors_of(folder.class_names)

    def add(picture: FoundPicture) -> None:
        for place, geo in (("", None), ("map/", picture.geo)):
            if place and geo is None:
                continue
            with folder.text(f"{place}{picture.stem}.geojson") as file:
                write_collection(file, picture, colors, geo)

    yield add


def colors_of(class_names: Sequence[str]) -> dict[str, list[int]]:
    """Red, green and blue of each class."""
    return {name: list(BRIGHT[i % len(BRIGHT)]) for i, name in enumerate(class_names)}


def write_collection(
    file: IO[str], picture: FoundPicture, color_of: Mapping[str, list[int]], geo: GeoReference | None = None
) -> None:
    """One picture, in pixels or, with `geo`, on the map."""
    height, width = picture.size
    about = {"file_name": utf8(picture.file_name), "width": width, "height": height}
    file.write(f'{{"type":"FeatureCollection","image":{json_text(about)},')
    if geo is not None and geo.epsg is not None:
        crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{geo.epsg}"}}
        file.write(f'"crs":{json_text(crs)},')
    file.write('"features":')
    features = (
        _feature(found, f"{picture.file_name} {number}", color_of[found.class_name], geo)
        for number, found in picture.numbered
    )
    write_list(file, features)
    file.write("}\n")


def _feature(found: FoundObject, name: str, color: list[int], geo: GeoReference | None) -> dict[str, Any]:
    parts = [[_ring(ring, geo) for ring in (part["exterior"], *part["holes"])] for part in found.outline]
    is_one = len(parts) == 1
    measurements = {"area px": found.area} | ({} if found.score is None else {"score": round(found.score, 6)})
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_SPACE, utf8(name))),
        "geometry": {"type": "Polygon" if is_one else "MultiPolygon", "coordinates": parts[0] if is_one else parts},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": utf8(found.class_name), "color": color},
            "measurements": measurements,
        },
    }


def _ring(ring: np.ndarray, geo: GeoReference | None) -> list[list[float]]:
    if geo is None:
        return closed(ring)
    a, b, c, d, e, f = geo.affine
    made = np.stack([a * ring[:, 0] + b * ring[:, 1] + c, d * ring[:, 0] + e * ring[:, 1] + f], axis=1).tolist()
    return [*made, made[0]]
