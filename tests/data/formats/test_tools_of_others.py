"""CVAT, Label Studio, GeoJSON, ImageJ and VIA 3 as their tools write them; each bad record is named, the rest stays."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats.recognise import read_dataset, recognise
from tests.data.formats.small_sets import HEIGHT, WIDTH, box_mask, kinds_of, masks_of, write_json, write_picture

SQUARE = [[10, 10], [30, 10], [30, 25], [10, 25]]
SQUARE_MASK = box_mask(10, 10, 30, 25)


def read(path: Path, images: Path | None = None) -> Annotations:
    (table,) = read_dataset(path, images).values()
    return table


def named(table: Annotations) -> dict[str, str]:
    """The kind of problem by the name of the annotation."""
    return {p.annotation_id: p.kind for p in table.problems if p.severity == "error"}


CVAT = """<?xml version="1.0"?><annotations><version>1.1</version>
<image id="0" name="deep/a.png" width="80" height="60">
<polygon label="cat" points="10.0,10.0;30.0,10.0;30.0,25.0;10.0,25.0" z_order="0"/>
<box label="dog" xtl="40" ytl="10" xbr="60" ybr="20"/>
<box label="dog" xtl="40" ytl="30" xbr="60" ybr="40" rotation="90"/>
<ellipse label="cat" cx="20" cy="45" rx="8" ry="5"/>
<mask label="cat" rle="1, 2, 1, 4" left="70" top="50" width="4" height="2"/>
<mask label="cat" rle="1, 2, 1, 5" left="70" top="50" width="4" height="2"/>
<mask label="cat" rle="0, 8" left="90" top="50" width="4" height="2"/>
<polygon label="" points="1,1;2,2;3,3"/>
<polygon label="cat" points="1,1;2"/>
<polyline label="cat" points="1,1;2,2;3,3"/>
<box label="cat" xtl="nan" ytl="1" xbr="3" ybr="4"/>
</image><image id="1" name="b.png" width="60" height="80"/></annotations>"""


def test_cvat(tmp_path: Path):
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png")
    (tmp_path / "annotations.xml").write_text(CVAT)
    assert recognise(tmp_path) == recognise(tmp_path / "annotations.xml") == "cvat"
    table = read(tmp_path / "annotations.xml")
    (objects,) = masks_of(table, tmp_path / "x").values()
    assert [name for name, _ in objects] == ["cat", "dog", "dog", "cat", "cat"]
    assert np.array_equal(objects[0][1], SQUARE_MASK)
    assert np.array_equal(objects[1][1], box_mask(40, 10, 60, 20))
    assert np.array_equal(objects[2][1], box_mask(45, 25, 55, 45))
    assert objects[3][1].sum() == pytest.approx(np.pi * 40, rel=0.05)
    assert np.argwhere(objects[4][1]).tolist() == [[50, 71], [50, 72], [51, 70], [51, 71], [51, 72], [51, 73]]
    assert named(table) == {
        "": "swapped-size",
        "deep/a.png, mask 5": "rle-counts",
        "deep/a.png, mask 6": "mask-outside-image",
        "deep/a.png, polygon 7": "no-class",
        "deep/a.png, polygon 8": "malformed-shape",
        "deep/a.png, polyline 9": "open-shape",
        "deep/a.png, box 10": "malformed-shape",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotations><track><box/></track></annotations>", "tracks of a video"),
        ("<!DOCTYPE a><annotations></annotations>", "a document type"),
        ("<annotations><image></annotations>", "not valid XML"),
    ],
)
def test_cvat_that_is_not_read(tmp_path: Path, text: str, words: str):
    write_picture(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_dataset(tmp_path / "a.xml")


def region(kind: str, value: Any, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": WIDTH, "original_height": HEIGHT, "value": value} | rest


def test_label_studio(tmp_path: Path):
    write_picture(tmp_path / "images" / "a.png")
    write_picture(tmp_path / "images" / "b c.png")
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in SQUARE]
    square = {"x": 12.5, "y": 100 / 6, "width": 25, "height": 25, "rotation": 0, "rectanglelabels": ["dog"]}
    result = [
        region("polygonlabels", {"points": points, "polygonlabels": ["cat"]}),
        region("rectanglelabels", square),
        region("ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "ellipselabels": ["cat"]}),
        region("polygonlabels", {"points": points, "polygonlabels": ["cat", "dog"]}),
        region("polygonlabels", {"points": points[:2], "polygonlabels": ["cat"]}),
        region("polygonlabels", {"points": points, "polygonlabels": ["cat"]}, original_width=99),
        region("brushlabels", {"rle": [1, 2, 3], "brushlabels": ["cat"]}),
        region("brushlabels", {"rle": [255] * 20, "brushlabels": ["cat"]}),
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    tasks = [
        {"data": {"image": "/data/upload/3/0a1b2c3d-a.png"}, "annotations": [{"result": []}, {"result": result}]},
        {"data": {"url": "https://x.org/d/b%20c.png?k=1"}, "predictions": [{"result": result[:1]}], "annotations": []},
        {"data": {"text": "no image"}, "annotations": []},
    ]
    write_json(tmp_path / "export.json", tasks)
    assert recognise(tmp_path) == "label-studio"
    table = read(tmp_path)
    masks = masks_of(table, tmp_path / "x")
    assert [name for name, _ in masks["a.png"]] == ["cat", "dog", "cat"]
    assert np.array_equal(masks["a.png"][0][1], SQUARE_MASK)
    assert np.array_equal(masks["a.png"][1][1], SQUARE_MASK)
    assert masks["a.png"][2][1].sum() == pytest.approx(np.pi * 48, rel=0.05)
    assert np.array_equal(masks["b c.png"][0][1], SQUARE_MASK)
    assert named(table) == {
        "2": "bad-annotation",
        "a.png, region 3": "no-class",
        "a.png, region 4": "two-point-polygon",
        "a.png, region 5": "wrong-size",
        "a.png, region 6": "malformed-shape",
        "a.png, region 7": "malformed-shape",
    }


def feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def test_geojson_of_qupath(tmp_path: Path):
    write_picture(tmp_path / "a.png")
    ring, hole = [*SQUARE, SQUARE[0]], [[15, 15], [20, 15], [20, 20], [15, 20], [15, 15]]
    features = [
        feature("Polygon", [ring, hole], objectType="annotation", classification={"name": "Tumor"}),
        feature("MultiPolygon", [[[[40, 10], [50, 10], [50, 20], [40, 20]]], [ring]], label="cell"),
        feature("Point", [1, 2]),
        feature("Polygon", [[[1, 1], [2, "x"]]]),
        feature("GeometryCollection", []),
        feature("Polygon", [[[1, 1], [1e9, 1], [1, 1e9]], hole]),
    ]
    write_json(tmp_path / "a.geojson", features)  # a list, which QuPath has the choice of
    assert recognise(tmp_path) == "geojson"
    table = read(tmp_path)
    (objects,) = masks_of(table, tmp_path / "x").values()
    assert [name for name, _ in objects] == ["Tumor", "cell"]
    assert np.array_equal(objects[0][1], SQUARE_MASK & ~box_mask(15, 15, 20, 20))
    assert np.array_equal(objects[1][1], SQUARE_MASK | box_mask(40, 10, 50, 20))
    assert named(table) == {
        "feature 2": "open-shape",
        "feature 3": "malformed-shape",
        "feature 4": "unknown-shape",
        "feature 5": "far-coordinates",
    }


def write_geotiff(path: Path) -> None:
    """A picture with pixels of 2 m x 2 m, whose upper left corner is at 500000, 5800000 of EPSG 32633."""
    keys = (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        (33550, "d", 3, (2.0, 2.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5800000.0, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    tifffile.imwrite(path, image, photometric="rgb", extratags=tags)


def test_geojson_on_the_map_of_a_geotiff(tmp_path: Path):
    write_geotiff(tmp_path / "a.tif")
    write_picture(tmp_path / "b.png")
    on_map = [[500000 + 2 * x, 5800000 - 2 * y] for x, y in [*SQUARE, SQUARE[0]]]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    content = {"type": "FeatureCollection", "crs": crs, "features": [feature("Polygon", [on_map])]}
    write_json(tmp_path / "a.geojson", content)
    write_json(tmp_path / "b.geojson", content)
    table = read(tmp_path)
    masks = masks_of(table, tmp_path / "x")
    assert np.array_equal(masks["a.tif"][0][1], SQUARE_MASK)
    assert masks["b.png"] == []
    assert [p.file for p in table.problems if p.kind == "unreadable-annotations"] == [str(tmp_path / "b.geojson")]


@pytest.mark.extra
def test_imagej(tmp_path: Path):
    roifile = pytest.importorskip("roifile")
    write_picture(tmp_path / "a.png")
    made = {
        "square.roi": roifile.ImagejRoi.frompoints(np.array(SQUARE)),
        "rect.roi": roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=10, top=10, right=30, bottom=25),
        "oval.roi": roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=40, top=20, right=60, bottom=40),
        "line.roi": roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x2=5.0, y2=5.0),
    }
    with zipfile.ZipFile(tmp_path / "RoiSet_a.zip", "w") as file:
        for name, roi in made.items():
            file.writestr(name, roi.tobytes())
        file.writestr("damaged.roi", made["square.roi"].tobytes()[:70])
        file.writestr("other.roi", b"no roi")
        file.writestr("bomb.roi", bytes(17 << 20), zipfile.ZIP_DEFLATED)
    assert recognise(tmp_path) == "imagej"
    table = read(tmp_path)
    (objects,) = masks_of(table, tmp_path / "x").values()
    assert [name for name, _ in objects] == ["object"] * 3
    assert np.array_equal(objects[0][1], SQUARE_MASK)
    assert np.array_equal(objects[1][1], SQUARE_MASK)
    assert objects[2][1].sum() == pytest.approx(np.pi * 100, rel=0.05)
    bad = {"line.roi": "open-shape"} | dict.fromkeys(("damaged.roi", "other.roi", "bomb.roi"), "malformed-shape")
    assert named(table) == bad


def test_via_3(tmp_path: Path):
    write_picture(tmp_path / "a.png")
    flat = [value for point in SQUARE for value in point]
    regions = [
        {"vid": "1", "z": [], "xy": [7, *flat], "av": {"1": "0"}},
        {"vid": "1", "z": [], "xy": [2, 10, 10, 20, 15], "av": {"1": "1"}},
        {"vid": "1", "z": [], "xy": [3, 60, 30, 9], "av": {"1": "1"}},
        {"vid": "1", "z": [], "xy": [1, 5, 5], "av": {"1": "1"}},
        {"vid": "1", "z": [], "xy": [7, *flat], "av": {}},
        {"vid": "1", "z": [1.0, 2.0], "xy": [], "av": {}},
        {"vid": "1", "z": [], "xy": [2, 10, "x"], "av": {"1": "1"}},
    ]
    project = {
        "project": {"vid_list": ["1"]},
        "config": {},
        "attribute": {"1": {"aname": "class", "type": 4, "options": {"0": "cat", "1": "dog"}}},
        "file": {"1": {"fid": "1", "fname": "a.png", "type": 2}},
        "metadata": {f"1_{i}": one for i, one in enumerate(regions)},
        "view": {"1": {"fid_list": ["1"]}},
    }
    write_json(tmp_path / "project.json", project)
    assert recognise(tmp_path) == "via"
    table = read(tmp_path / "project.json")
    (objects,) = masks_of(table, tmp_path / "x").values()
    assert [name for name, _ in objects] == ["cat", "dog", "dog"]
    assert np.array_equal(objects[0][1], SQUARE_MASK)
    assert np.array_equal(objects[1][1], SQUARE_MASK)
    assert named(table) == {
        "a.png, region 1_3": "open-shape",
        "a.png, region 1_4": "no-class",
        "a.png, region 1_6": "malformed-shape",
    }
    assert kinds_of(table).count("open-shape") == 1


@pytest.mark.parametrize("content", [[], [1], [{"data": 3}], {"type": "Feature"}, {"project": 1, "attribute": {}}])
def test_what_is_none_of_them(tmp_path: Path, content: Any):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is no annotation format that is known here"):
        recognise(tmp_path / "a.json")
