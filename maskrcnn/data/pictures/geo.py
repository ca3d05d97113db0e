"""Where a GeoTIFF lies on a map (OGC GeoTIFF 1.1, 19-008r4)."""

import math
from pathlib import Path
from typing import Any

Affine = tuple[float, float, float, float, float, float]

PIXEL_IS_POINT = 2
"""Of GTRasterTypeGeoKey: coordinates are those of pixel centres."""
_USER_DEFINED = 32767
_PROJECTED = 1
"""Of GTModelTypeGeoKey: coordinates are lengths on a map."""
_METRES = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937}
"""Of ProjLinearUnitsGeoKey: metre, foot, US survey foot."""
_UTM = (range(32601, 32661), range(32701, 32761), range(25828, 25839))
"""EPSG numbers of maps that are in metres, also where the file does not say so."""
_NOT_TRUE = (3857, 3785, 900913)
"""Web Mercator, whose metres are metres on the equator alone."""
_EXTENSIONS = (".tif", ".tiff", ".gtiff")


def geo_reference(path: Path) -> tuple[Affine, int | None] | None:
    """a b c d e f of x = a col + b row + c, y = d col + e row + f, with col and row 0 at the outer corner of the first
    pixel; and the EPSG number of their system, or None. None for a file that says no place, or cannot be read.
    """
    if path.suffix.lower() not in _EXTENSIONS or not path.is_file():
        return None
    import tifffile  # slow to import

    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            tags = tiff.pages.first.geotiff_tags
    except Exception:  # tifffile raises what it likes, and a picture's place is no reason not to count in it
        return None
    return _from_tags(tags) if tags else None


def ground_size_um(tags: dict[str, Any]) -> tuple[float, float] | None:
    """Height and width of a pixel on the ground in micrometres, by the `geotiff_tags` of tifffile.

    None where the map's unit is a degree, or not said, or where lengths on the map are none on the ground.
    """
    found = _from_tags(tags)
    if found is None or tags.get("GTModelTypeGeoKey") != _PROJECTED or found[1] in _NOT_TRUE:
        return None
    is_utm = any(found[1] in numbers for numbers in _UTM)
    metres = _METRES.get(tags.get("ProjLinearUnitsGeoKey", 9001 if is_utm else 0))
    if metres is None:
        return None
    a, b, _, d, e, _ = found[0]
    return math.hypot(b, e) * metres * 1e6, math.hypot(a, d) * metres * 1e6


def _from_tags(tags: dict[str, Any]) -> tuple[Affine, int | None] | None:
    affine = _affine(tags)
    if affine is None or not all(map(math.isfinite, affine)) or not affine[0] * affine[4] - affine[1] * affine[3]:
        return None
    if tags.get("GTRasterTypeGeoKey") == PIXEL_IS_POINT:
        a, b, c, d, e, f = affine
        affine = a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
    codes = [tags.get(key) for key in ("ProjectedCSTypeGeoKey", "GeographicTypeGeoKey")]
    epsg = next((int(code) for code in codes if isinstance(code, int) and 0 < code < _USER_DEFINED), None)
    return affine, epsg


def _affine(tags: dict[str, Any]) -> Affine | None:
    matrix = tags.get("ModelTransformation")
    if matrix is not None:
        rows = [[float(value) for value in row] for row in matrix]
        return rows[0][0], rows[0][1], rows[0][3], rows[1][0], rows[1][1], rows[1][3]
    scale, tie = tags.get("ModelPixelScale"), tags.get("ModelTiepoint")
    if scale is None or tie is None or len(scale) < 2 or len(tie) < 6:
        return None
    (width, height), (col, row, _, x, y, _) = (float(v) for v in scale[:2]), (float(v) for v in tie[:6])
    return width, 0.0, x - col * width, 0.0, -height, y + row * height
