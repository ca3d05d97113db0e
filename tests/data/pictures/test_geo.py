"""GeoTIFFs as tifffile and as GDAL write them: where they lie, and how large a pixel is on the ground."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from maskrcnn.data.pages import read_pages
from maskrcnn.data.pictures.geo import geo_reference, ground_size_um
from maskrcnn.prediction.folder_job import infer_files
from maskrcnn.prediction.method_predictor import MethodPredictor

PLACE = {"ModelPixelScale": [0.5, 0.5, 0.0], "ModelTiepoint": [0.0, 0.0, 0.0, 500000.0, 5800000.0, 0.0]}
UTM: dict[str, Any] = {**PLACE, "GTModelTypeGeoKey": 1, "ProjectedCSTypeGeoKey": 32633}


@pytest.mark.parametrize(
    ("tags", "size_um"),
    [
        (UTM, (5e5, 5e5)),
        ({**UTM, "ProjLinearUnitsGeoKey": 9001}, (5e5, 5e5)),
        ({**UTM, "ProjectedCSTypeGeoKey": 2229, "ProjLinearUnitsGeoKey": 9003}, (0.5e6 * 1200 / 3937,) * 2),
        ({**UTM, "ModelPixelScale": [0.5, 2.0, 0.0]}, (2e6, 5e5)),
        ({**UTM, "ProjectedCSTypeGeoKey": 2229}, None),  # in feet, and does not say so
        ({**UTM, "ProjectedCSTypeGeoKey": 3857, "ProjLinearUnitsGeoKey": 9001}, None),  # Web Mercator
        ({**PLACE, "GTModelTypeGeoKey": 2, "GeographicTypeGeoKey": 4326}, None),  # degrees
        ({"GTModelTypeGeoKey": 1, "ProjLinearUnitsGeoKey": 9001}, None),  # no place
    ],
)
def test_the_size_of_a_pixel_on_the_ground(tags: dict[str, Any], size_um: tuple[float, float] | None) -> None:
    found = ground_size_um(tags)
    assert found == (size_um and pytest.approx(size_um))


def test_a_turned_map(tmp_path: Path) -> None:
    # A pixel to the right is 3 m east and 4 m north, so 5 m; a pixel down is 4 m east and 3 m south.
    matrix = [[3.0, 4.0, 0.0, 0.0], [4.0, -3.0, 0.0, 0.0], [0.0] * 4, [0.0, 0.0, 0.0, 1.0]]
    tags = {"ModelTransformation": matrix, "GTModelTypeGeoKey": 1, "ProjLinearUnitsGeoKey": 9001}
    assert ground_size_um(tags) == pytest.approx((5e6, 5e6))


def field(path: Path) -> None:
    """Two bright squares of 10 x 20 and 6 x 6 px in a GeoTIFF with pixels of 0.5 m."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:20, 10:30] = image[40:46, 50:56] = 250
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 3072, 0, 1, 32633, 3076, 0, 1, 9001)
    tags = [
        (33550, "d", 3, (0.5, 0.5, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5800000.0, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]
    tifffile.imwrite(path, image, photometric="rgb", extratags=tags)


def test_areas_are_in_square_metres_and_outlines_on_the_map(tmp_path: Path) -> None:
    field(tmp_path / "field.tif")
    infer_files(MethodPredictor("otsu"), [tmp_path / "field.tif"], tmp_path / "out", exports=["geojson"])
    with (tmp_path / "out/measurements.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["area_px"]))
    assert [float(row["area_m2"]) for row in rows] == [9.0, 50.0]
    assert [float(row["pixel_size_m"]) for row in rows] == [0.5, 0.5]
    assert float(rows[0]["perimeter_m"]) == pytest.approx(float(rows[0]["perimeter_px"]) / 2)
    assert not any(name.endswith(("_um", "_um2")) for name in rows[0])
    on_map = json.loads((tmp_path / "out/exports/geojson/map/field.geojson").read_text())
    points = np.concatenate([np.array(one["geometry"]["coordinates"][0]) for one in on_map["features"]])
    assert points.min(axis=0).tolist() == [500005.0, 5799977.0]  # x of column 10, y of row 46
    assert points.max(axis=0).tolist() == [500028.0, 5799995.0]


@pytest.mark.extra
def test_what_gdal_writes_and_reads(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    transform = rasterio.transform.from_origin(300000, 5000000, 0.25, 0.25)
    for name, crs in (("utm.tif", "EPSG:32633"), ("feet.tif", "EPSG:2229"), ("degrees.tif", "EPSG:4326")):
        options = {"count": 3, "dtype": "uint8", "width": 64, "height": 48, "tiled": True, "photometric": "RGB"}
        with rasterio.open(tmp_path / name, "w", driver="GTiff", crs=crs, transform=transform, **options) as file:
            file.write(np.full((3, 48, 64), 7, np.uint8))
    sizes = {path.name: next(iter(read_pages(path))).pixel_size_um for path in tmp_path.glob("*.tif")}
    assert sizes["utm.tif"] == pytest.approx((250_000, 250_000))
    assert sizes["feet.tif"] == pytest.approx((0.25e6 * 1200 / 3937,) * 2)
    assert sizes["degrees.tif"] is None
    for name in sizes:
        with rasterio.open(tmp_path / name) as file:
            assert geo_reference(tmp_path / name) == (tuple(file.transform)[:6], file.crs.to_epsg())
