"""Read regions in which objects are counted: polygons of GeoJSON (QuPath), LabelMe and ImageJ."""

import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.structures.regions import Region

MAX_BYTES = 64 << 20
"""Of a file of regions, and of what a zip archive becomes: more is no set of polygons that somebody drew."""
MAX_REGIONS = 10_000
MAX_RINGS = 10_000
"""Of all polygons with their holes: which lies in which is looked at for each pair."""
MAX_POINTS = 1_000_000
"""Of all polygons: each is compared with every object."""
_EXPECTED = "expected polygons as GeoJSON, as LabelMe JSON, or as ImageJ's .roi or .zip"
_ROI, _ZIP = b"Iout", b"PK\x03\x04"
_SIDES = 64
"""Of the polygon in place of a circle of LabelMe."""


class RegionError(ValueError):
    """A file of regions that cannot be used; the message names the file and the reason."""


def read_regions(path: str | Path) -> list[Region]:
    """The regions of a file, each with a name of its own: that in the file, or "region 3" where it has none.

    - GeoJSON: polygons and multipolygons, with their holes, in pixels; named by `name` among the properties, or the
      class that QuPath gives them.
    - LabelMe: polygons, rectangles and circles, named by their labels.
    - ImageJ (needs the package roifile): areas, from .roi or the .zip of its ROI manager; lines and points are no
      areas.

    Raises:
        FileNotFoundError: there is no such file.
        RegionError: not one of these formats, damaged, without an area, or beyond a limit.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file of regions")
    if not path.is_file():
        raise RegionError(f"{path}: {_EXPECTED}, got what is no file")
    if path.stat().st_size > MAX_BYTES:
        raise RegionError(f"{path}: {path.stat().st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
    data = path.read_bytes()
    try:
        found = list(_of_imagej(data, path) if data.startswith((_ROI, _ZIP)) else _of_json(data))
        named = [(name, _checked(rings)) for name, rings in found]
    except RegionError as error:
        raise RegionError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise RegionError(f"{path}: {_EXPECTED}; it is damaged or none of these{_reason(error)}") from error
    if not named:
        raise RegionError(f"{path}: there is no area in it; {_EXPECTED}")
    lengths = [len(ring) for _, rings in named for ring in rings]
    if len(named) > MAX_REGIONS or len(lengths) > MAX_RINGS or sum(lengths) > MAX_POINTS:
        raise RegionError(f"{path}: more than {MAX_REGIONS:,} regions, {MAX_RINGS:,} outlines or {MAX_POINTS:,} points")
    seen: Counter[str] = Counter()
    regions = []
    for number, (name, rings) in enumerate(named, start=1):
        name = name.strip() or f"region {number}"
        seen[name] += 1
        regions.append(Region(name if seen[name] == 1 else f"{name} ({seen[name]})", rings))
    return regions


def _checked(rings: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    arrays = [np.asarray(ring, np.float64) for ring in rings]
    for ring in arrays:
        if ring.ndim != 2 or ring.shape[1] < 2 or not np.isfinite(ring).all():
            raise RegionError("expected points of two finite numbers")
        if len(ring) < 3:
            raise RegionError(f"a polygon of {len(ring)} points has no area")
    return tuple(ring[:, :2] for ring in arrays)


def _of_json(data: bytes) -> Iterator[tuple[str, list[Any]]]:
    content = json.loads(data)
    if isinstance(content, dict) and "shapes" in content:
        yield from _of_labelme(content["shapes"])
    else:
        yield from _of_geojson(content)


def _of_geojson(content: Any, name: str = "") -> Iterator[tuple[str, list[Any]]]:
    if isinstance(content, list):  # QuPath writes a bare list of features, too
        for one in content:
            yield from _of_geojson(one)
        return
    kind = content["type"]
    if kind == "FeatureCollection":
        yield from _of_geojson(content["features"])
    elif kind == "Feature":
        if content.get("geometry") is not None:
            yield from _of_geojson(content["geometry"], _feature_name(content.get("properties") or {}))
    elif kind == "GeometryCollection":
        for one in content["geometries"]:
            yield from _of_geojson(one, name)
    elif kind == "Polygon":
        yield name, [_open(ring) for ring in content["coordinates"]]
    elif kind == "MultiPolygon":
        yield name, [_open(ring) for polygon in content["coordinates"] for ring in polygon]
    elif kind not in ("Point", "MultiPoint", "LineString", "MultiLineString"):
        raise RegionError(f"{_EXPECTED}, got type {str(kind)[:40]!r}")


def _feature_name(properties: dict[str, Any]) -> str:
    kind = properties.get("classification")
    name = properties.get("name") or (kind.get("name") if isinstance(kind, dict) else kind)
    return str(name) if isinstance(name, str | int) else ""


def _open(ring: list[Any]) -> list[Any]:
    """Without the first point again at the end, which GeoJSON asks for."""
    return ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring


def _of_labelme(shapes: list[dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    for shape in shapes:
        kind, points = shape.get("shape_type") or "polygon", shape["points"]
        if kind == "rectangle":
            (x0, y0), (x1, y1) = points[:2] if len(points) == 2 else (points[0], points[2])
            points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        elif kind == "circle":
            (x, y), (on_x, on_y) = points
            angles = np.arange(_SIDES) * (2 * math.pi / _SIDES)
            radius = math.hypot(on_x - x, on_y - y)
            points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        elif kind != "polygon":
            continue
        yield str(shape.get("label") or ""), [points]


def _of_imagej(data: bytes, path: Path) -> Iterator[tuple[str, list[Any]]]:
    try:
        from roifile import ROI_TYPE, ImagejRoi
    except ImportError:
        raise RegionError("ROIs of ImageJ need the package roifile (pip install 'maskrcnn[imagej]')") from None
    areas = (ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
    for stem, content in _rois(data, path):
        try:
            roi = ImagejRoi.frombytes(content)
            if roi.roitype not in areas:
                continue
            rings = roi.coordinates(multi=True)
        except Exception as error:  # damaged bytes raise whatever they lead to
            raise ValueError(f"a ROI cannot be read: {error}") from None
        yield roi.name or stem, list(rings) if isinstance(rings, list) else [rings]


def _rois(data: bytes, path: Path) -> Iterator[tuple[str, bytes]]:
    if data.startswith(_ROI):
        yield path.stem, data
        return
    with zipfile.ZipFile(path) as archive:
        inside = [info for info in archive.infolist() if info.filename.lower().endswith(".roi")]
        if sum(info.file_size for info in inside) > MAX_BYTES or len(inside) > MAX_REGIONS:
            raise RegionError(f"more than {MAX_BYTES:,} bytes or {MAX_REGIONS:,} regions in the archive")
        for info in inside:
            try:
                content = archive.read(info)
            except Exception as error:  # damage and unknown compression raise nearly anything
                raise ValueError(f"it cannot be unpacked: {error}") from None
            yield Path(info.filename).stem, content


def _reason(error: Exception) -> str:
    """In brackets what a reader says of the file; what Python says of its own values helps nobody."""
    if isinstance(error, UnicodeDecodeError) or not isinstance(error, ValueError | zipfile.BadZipFile):
        return ""
    text = " ".join(str(error).split())[:200]
    return f" ({text})" if text else ""
