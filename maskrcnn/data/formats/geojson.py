"""GeoJSON (RFC 7946) with an object in each feature: in pixels, as QuPath writes it, or on the map of a GeoTIFF."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import finding
from maskrcnn.data.formats.assembling import ONE_CLASS, Picture, Reading, Shape, assemble
from maskrcnn.data.formats.outlines import filled, flat, numbers
from maskrcnn.data.pictures.geo import geo_reference
from maskrcnn.data.problems import AnnotationError, Problem, found, refusal
from maskrcnn.structures.rle import Rle

LOOKED_FOR = "GeoJSON files (FeatureCollection), one for each picture"
ENDINGS = (".geojson", ".json")
CLASS_KEYS = ("classification", "class", "label", "name", "category")
"""Properties taken for the class, the surest first."""


def is_format(path: Path) -> bool:
    """Whether `path` is such a file, or a folder with some, by content."""
    return bool(finding.parts_with(path, _files_in))


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Polygons and multipolygons with holes. The picture is the one that `image` in the file names, or of its name.

    Coordinates are pixels; of a file with a `crs` they are those of the map, and its picture has to be a GeoTIFF.
    """

    def read_split(part: Path, given: Path | None) -> Reading:
        files = [part] if part.is_file() else sorted(f for end in ENDINGS for f in part.glob(f"*{end}"))
        return _read_split(files, given)

    return assemble(finding.read_splits(path, images, _files_in, read_split), path, images)


def _files_in(path: Path) -> list[Path]:
    return finding.json_files(path, "geojson", ENDINGS)


def _read_split(files: Sequence[Path], images: Path | None) -> Reading:
    contents, paths, problems = {}, {}, []
    for file in files:
        try:
            content = finding.load_json(file)
            features = content.get("features") if isinstance(content, dict) else content
            if not isinstance(features, list):
                raise ValueError("expected a FeatureCollection, as the other files here are")
        except ValueError as error:
            problems.append(found("unreadable-annotations", str(error).removeprefix(f"{file} is "), file))
            continue
        contents[file] = content, features
        paths[file] = _picture(content, file, [images] if images else [file.parent, file.parent / "images"])
    sizes, size_problems = finding.sizes_of(paths.values())
    reading = Reading([], [*problems, *size_problems])
    for file, (content, features) in contents.items():
        if paths[file] in sizes:
            shapes = _read_features(features, content, file, paths[file], sizes[paths[file]], reading.problems)
            reading.pictures.append(Picture(paths[file], sizes[paths[file]], shapes))
    return reading


def _picture(content: Any, file: Path, folders: list[Path]) -> Path:
    about = content.get("image") if isinstance(content, dict) else None
    name = about.get("file_name") if isinstance(about, dict) else None
    if isinstance(name, str) and name:
        return finding.picture_named(name, folders)
    for folder in folders:
        for stem, picture in finding.by_stem(folder).items():
            if stem == file.stem:
                return picture
    return folders[0] / f"{file.stem}.png"


def _read_features(
    features: list[Any], content: Any, file: Path, picture: Path, size: tuple[int, int], problems: list[Problem]
) -> list[Shape]:
    to_pixels = None
    if isinstance(content, dict) and content.get("crs") is not None:
        geo = geo_reference(picture)
        if geo is None:
            reason = "it is on a map (crs), and its picture is no GeoTIFF that says where it lies"
            problems.append(found("unreadable-annotations", reason, file))
            return []
        a, b, c, d, e, f = geo[0]
        to_pixels = np.linalg.inv(np.array([[a, b, c], [d, e, f], [0, 0, 1]]))
    shapes = []
    for number, feature in enumerate(features):
        place = f"feature {number}"
        try:
            shapes.append(Shape(_class_of(feature), _segmentation(feature, size, to_pixels), file, place))
        except ValueError as error:
            problems.append(refusal(error, file, place))
    return shapes


def _class_of(feature: Any) -> str:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    for key in CLASS_KEYS:
        value = properties.get(key) if isinstance(properties, dict) else None
        value = value.get("name") if isinstance(value, dict) else value
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ONE_CLASS


def _segmentation(feature: Any, size: tuple[int, int], to_pixels: np.ndarray | None) -> list[list[float]] | Rle:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind not in ("Polygon", "MultiPolygon"):
        if kind in ("Point", "MultiPoint", "LineString", "MultiLineString"):
            raise AnnotationError("open-shape", f"a {kind}")
        raise AnnotationError("unknown-shape", f"expected a Polygon or MultiPolygon, got {kind!r:.40}")
    coordinates = geometry.get("coordinates")
    polygons: Any = [coordinates] if kind == "Polygon" else coordinates
    are_rings = isinstance(polygons, list) and all(isinstance(rings, list) and rings for rings in polygons)
    if not isinstance(polygons, list) or not polygons or not are_rings:
        raise ValueError(f"expected rings of points as coordinates, got {coordinates!r:.60}")
    return filled([[_ring(ring, to_pixels) for ring in rings] for rings in polygons], size)


def _ring(ring: Any, to_pixels: np.ndarray | None) -> list[float]:
    pairs = [point[:2] if isinstance(point, list) else point for point in ring] if isinstance(ring, list) else ring
    points = flat(pairs)
    if len(points) >= 8 and points[:2] == points[-2:]:  # rings are closed
        points = points[:-2]
    if to_pixels is not None:
        x, y = np.array(points[::2]), np.array(points[1::2])
        placed = to_pixels @ np.stack([x, y, np.ones_like(x)])
        points = numbers(placed[:2].T.ravel().round(6).tolist())
    return points
