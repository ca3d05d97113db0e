"""Where a GeoTIFF lies on a map (OGC GeoTIFF 1.1, 19-008r4)."""

import math
from pathlib import Path
from typing import Any

Affine = tuple[float, float, float, float, float, float]

PIXEL_IS_POINT = 2
"""Of GTRasterTypeGeoKey: coordinates are those of pixel centres."""
_USER_DEFINED = 32767
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
