"""Files of regions: what they hold, and what is wrong with them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrcnn.data import regions
from maskrcnn.data.regions import RegionError, read_regions

SQUARE = [[2.0, 3.0], [10.0, 3.0], [10.0, 9.0], [2.0, 9.0]]
HOLE = [[4.0, 5.0], [6.0, 5.0], [6.0, 7.0], [4.0, 7.0]]


def closed(ring: list[list[float]]) -> list[list[float]]:
    return [*ring, ring[0]]


def feature(geometry: dict[str, Any] | None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_geojson(tmp_path: Path) -> None:
    polygon = {"type": "Polygon", "coordinates": [closed(SQUARE), closed(HOLE)]}
    two = {"type": "MultiPolygon", "coordinates": [[closed(SQUARE)], [closed(HOLE)]]}
    features = [
        feature(polygon, name="tumour"),
        feature(two, classification={"name": "Stroma", "color": [1, 2, 3]}),
        feature(polygon),
        feature({"type": "Point", "coordinates": [1, 2]}, name="a point"),
        feature(None, name="nothing"),
        feature(polygon, name="tumour"),
    ]
    for content in ({"type": "FeatureCollection", "features": features}, features):
        found = read_regions(write(tmp_path / "a.geojson", content))
        assert [one.name for one in found] == ["tumour", "Stroma", "region 3", "tumour (2)"]
        assert [one.area_px for one in found] == [44, 44, 44, 44]
        assert found[0].contains(np.array([[3.0, 4.0], [5.0, 6.0]])).tolist() == [True, False]
    (bare,) = read_regions(write(tmp_path / "b.json", polygon))
    assert (bare.name, bare.area_px) == ("region 1", 44)


def test_labelme(tmp_path: Path) -> None:
    shapes = [
        {"label": "a", "points": SQUARE, "shape_type": "polygon"},
        {"label": "b", "points": [[10, 9], [2, 3]], "shape_type": "rectangle"},
        {"label": "c", "points": [[5, 5], [5, 7]], "shape_type": "circle"},
        {"label": "d", "points": [[5, 5]], "shape_type": "point"},
        {"label": "e", "points": SQUARE},
    ]
    found = read_regions(write(tmp_path / "a.json", {"version": "5", "imagePath": "a.png", "shapes": shapes}))
    assert [one.name for one in found] == ["a", "b", "c", "e"]
    assert [one.area_px for one in found] == [48, 48, pytest.approx(np.pi * 4, rel=0.01), 48]


@pytest.mark.extra
def test_imagej(tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile")
    polygon = roifile.ImagejRoi.frompoints(np.array(SQUARE), name="field")
    polygon.tofile(tmp_path / "a.roi")
    (found,) = read_regions(tmp_path / "a.roi")
    assert (found.name, found.area_px) == ("field", 48)
    point = roifile.ImagejRoi.frompoints(np.array(SQUARE))
    point.roitype = roifile.ROI_TYPE.POINT
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0001.roi", polygon.tobytes())
        archive.writestr("0002.roi", point.tobytes())
        archive.writestr("notes.txt", "none")
    assert [one.name for one in read_regions(tmp_path / "a.zip")] == ["field"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected polygons as GeoJSON"),
        (b"{", "expected polygons as GeoJSON"),
        (b"[" * 100_000, "expected polygons as GeoJSON"),
        (b"{}", "expected polygons as GeoJSON"),
        (b"7", "expected polygons as GeoJSON"),
        (b'{"type": "Topology"}', "got type 'Topology'"),
        (b'{"type": "FeatureCollection", "features": []}', "there is no area in it"),
        (b'{"shapes": [{"points": [[1, 2], [3, 4]]}]}', "a polygon of 2 points has no area"),
        (b'{"shapes": [{"points": [[1, 2], [3, 4], [5, NaN]]}]}', "expected points of two finite numbers"),
        (b'{"shapes": [{"points": [1, 2, 3]}]}', "expected points of two finite numbers"),
        (b'{"shapes": [{"points": [["a", 2], [3, 4], [5, 6]]}]}', "expected polygons as GeoJSON"),
        (b'{"shapes": [7]}', "expected polygons as GeoJSON"),
        (b'{"type": "Polygon", "coordinates": 5}', "expected polygons as GeoJSON"),
        (b"PK\x03\x04 no archive", "expected polygons as GeoJSON"),
        (b"Iout", "expected polygons as GeoJSON"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    if content.startswith((b"Iout", b"PK")):
        pytest.importorskip("roifile")
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RegionError) as error:
        read_regions(tmp_path / "a.json")
    assert str(error.value).startswith(f"{tmp_path / 'a.json'}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_not_there_and_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file of regions"):
        read_regions(tmp_path / "none.json")
    with pytest.raises(RegionError, match="got what is no file"):
        read_regions(tmp_path)
    path = write(tmp_path / "a.json", {"shapes": [{"points": SQUARE}] * 3})
    monkeypatch.setattr(regions, "MAX_POINTS", 11)
    with pytest.raises(RegionError, match="more than 10,000 regions, 10,000 outlines or 11 points"):
        read_regions(path)
    monkeypatch.setattr(regions, "MAX_BYTES", 10)
    with pytest.raises(RegionError, match="bytes, more than the 10 allowed"):
        read_regions(path)
