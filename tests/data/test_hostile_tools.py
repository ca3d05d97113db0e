"""Files of annotation tools and regions that once ended in a traceback, took ages or said too much."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.data.problems import DataError
from maskrcnn.data.reading import load_annotations
from maskrcnn.data.regions import RegionError, read_regions
from maskrcnn.structures.regions import Region
from maskrcnn.untrusted.machine_memory import memory_bytes
from maskrcnn.untrusted.plain_xml import PlainXMLError, plain_xml

SQUARE = [4, 4, 20, 4, 20, 18, 4, 18]
LAUGHS = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
DOCTYPES = {
    "billion laughs": f"<!DOCTYPE a [{LAUGHS}]>",
    "quadratic blow-up": f'<!DOCTYPE a [<!ENTITY a9 "{"x" * 1200}">]>',
    "another file": '<!DOCTYPE a [<!ENTITY a9 SYSTEM "file:///etc/passwd">]>',
    "an address": '<!DOCTYPE a SYSTEM "http://localhost:9/a.dtd" [<!ENTITY % a9 SYSTEM "http://localhost:9/b"> %a9;]>',
}


def picture(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), (9, 200, 9)).save(folder / "1.png")


def cvat(folder: Path, inside: str, head: str = "") -> Path:
    """One good polygon, and what is `inside` the same image."""
    picture(folder)
    points = "4,4;20,4;20,18;4,18"
    image = (
        f'<image id="0" name="1.png" width="60" height="40"><polygon label="nut" points="{points}"/>{inside}</image>'
    )
    (folder / "a.xml").write_text(f'<?xml version="1.0"?>{head}<annotations>{image}</annotations>', encoding="utf-8")
    return folder / "a.xml"


@pytest.mark.parametrize("name", DOCTYPES)
def test_entities_of_cvat_are_refused_in_one_sentence(tmp_path: Path, name: str):
    path = cvat(tmp_path, f"<version>{'&a9;' * 20_000}</version>", DOCTYPES[name])
    with pytest.raises(ValueError, match=r"a document type \(DTD\)") as refused:
        read_dataset(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("name", DOCTYPES)
def test_entities_of_voc_are_not_even_read(tmp_path: Path, name: str):
    """Its boxes are not what is trained on, so the XML is never given to a parser."""
    picture(tmp_path / "JPEGImages")
    (tmp_path / "Annotations").mkdir()
    objects = "<annotation><filename>1.png</filename><object><name>&a9;</name></object></annotation>"
    for head in ("", DOCTYPES[name]):
        (tmp_path / "Annotations" / "1.xml").write_text(f'<?xml version="1.0"?>\n{head[:900]}{objects}')
        with pytest.raises(
            ValueError, match=r"VOC's XML has boxes, .*SegmentationObject|no annotation format"
        ) as refused:
            read_dataset(tmp_path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["x", "utf-16", "cp037", "rot13", "shift_jis"])
def test_xml_in_an_odd_encoding(tmp_path: Path, encoding: str):
    path = cvat(tmp_path, "")
    path.write_bytes(path.read_bytes().replace(b'"1.0"', f'"1.0" encoding="{encoding}"'.encode()))
    with pytest.raises(ValueError, match="not valid XML"):
        read_dataset(path)


def test_xml_that_needs_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = cvat(tmp_path, "<x a='1'/>" * 100)
    assert len(next(plain_xml(path, "image"))) == 101
    memory_bytes()
    monkeypatch.setattr("maskrcnn.untrusted.plain_xml.memory_bytes", lambda: 100 * 4 * 200)
    with pytest.raises(PlainXMLError, match="more than 25% of the memory"):
        list(plain_xml(path, "image"))


def test_a_long_attribute_is_read_whole(tmp_path: Path):
    """Several chunks of the file long, which are then read in ever larger ones."""
    path = cvat(tmp_path, f'<x a="{"1," * 500_000}"/><x a="2"/>')
    assert [len(one.get("a", "")) for one in next(plain_xml(path, "image"))] == [0, 1_000_000, 1]


RUNS = {
    "more than any number": "1e400,2",
    "a huge number": "1e300,1e300,1e300",
    "numbers that overflow to the right sum": ",".join(["9223372036854775807"] * 2 + ["34"]),
    "a negative one": "-8,40",
    "no number": "1,,2",
}


@pytest.mark.parametrize("name", RUNS)
def test_odd_runs_of_a_cvat_mask(tmp_path: Path, name: str):
    mask = f'<mask label="nut" rle="{RUNS[name]}" left="1" top="1" width="8" height="4"/>'
    (table,) = read_dataset(cvat(tmp_path, mask)).values()
    assert len(table.names) == 1
    assert {p.kind for p in table.problems} <= {"rle-counts", "malformed-shape"}
    assert len(table.problems) == 1


@pytest.mark.parametrize("attribute", ["left", "top", "width", "height"])
@pytest.mark.parametrize("value", ["1e30", "1e400", "-1e30", "nan"])
def test_a_cvat_mask_far_away(tmp_path: Path, attribute: str, value: str):
    window = {"left": "1", "top": "1", "width": "8", "height": "4"} | {attribute: value}
    place = " ".join(f'{key}="{number}"' for key, number in window.items())
    mask = f'<mask label="nut" rle="16,16" {place}/>'
    (table,) = read_dataset(cvat(tmp_path, mask)).values()
    assert (len(table.names), len(table.problems)) == (1, 1)


def label_studio(folder: Path, **changes: Any) -> Path:
    picture(folder)
    value = {"points": [[10, 10], [50, 10], [50, 50]], "polygonlabels": ["nut"]}
    good = {"type": "polygonlabels", "original_width": 60, "original_height": 40, "value": value}
    tasks = [
        {"data": {"image": "1.png"}, "annotations": [{"result": [good, good | changes]}]},
        {"data": {"image": "1.png"}, "annotations": 5, "predictions": {"result": 1}},
    ]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return folder / "tasks.json"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": ["polygonlabels"]},
        {"type": {}},
        {"value": [1]},
        {"value": {"points": 5, "polygonlabels": ["nut"]}},
        {"value": {"points": [[1e308, 1e308], [-1e308, 5], [5, 1e308]], "polygonlabels": ["nut"]}},
        {"value": {"polygonlabels": [[]]}},
        {"original_width": [60]},
        {"type": "brushlabels", "value": {"rle": [255] * 9000, "brushlabels": ["nut"]}},
        {"type": "rectanglelabels", "value": {"x": 1e400, "rotation": "x", "rectanglelabels": ["nut"]}},
    ],
)
def test_odd_regions_of_label_studio_are_named_and_the_others_stay(tmp_path: Path, changes: dict[str, Any]):
    (table,) = read_dataset(label_studio(tmp_path, **changes)).values()
    assert len(table.names) == 1
    assert all(len(problem.reason) < 300 for problem in table.problems)


@pytest.mark.parametrize("xy", [[[7], 1, 2], [{}], [None, 1], [7, "x"], [7.5], [2, 1e400], [True, 1]])
def test_odd_regions_of_via_3(tmp_path: Path, xy: list[Any]):
    picture(tmp_path)
    shapes = {"1": [7, *SQUARE], "2": xy}
    project = {
        **{"project": {}, "config": {}, "attribute": {"1": {"aname": "class", "type": 1}}},
        "file": {"1": {"fname": "1.png"}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {key: {"vid": "1", "z": [], "xy": one, "av": {"1": "nut"}} for key, one in shapes.items()},
    }
    (tmp_path / "a.json").write_text(json.dumps(project))
    (table,) = read_dataset(tmp_path / "a.json").values()
    assert (len(table.names), len(table.problems)) == (1, 1)


def test_a_line_of_yolo_as_long_as_a_book_is_named_in_a_sentence(tmp_path: Path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    picture(tmp_path / "images")
    lines = [f"0 0.{'9' * 50_000}.1 0.1 0.5 0.1 0.5 0.5", f"{'9' * 300} 0.1 0.1 0.5 0.1 0.5 0.5"] * 5
    (tmp_path / "labels" / "1.txt").write_text("\n".join(lines))
    (tmp_path / "data.yaml").write_text("names: [nut]\ntrain: images")
    with pytest.raises(DataError, match=r"expected numbers, got '0\.99") as refused:
        load_annotations(tmp_path)
    assert len(str(refused.value)) < 3000


def roi_archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.extra
def test_damaged_rois_of_regions(tmp_path: Path):
    roifile = pytest.importorskip("roifile")
    path = np.array([0, 4, 4, 1, 20, 4, 1, 20, 18, 4], np.float32)
    for code in (20.0, float("inf"), float("nan"), -3e30):
        path[3] = code
        roi = roifile.ImagejRoi(
            roitype=roifile.ROI_TYPE.RECT, shape_roi_size=len(path), multi_coordinates=path, right=9
        )
        (tmp_path / "a.roi").write_bytes(roi.tobytes())
        with pytest.raises(RegionError, match="damaged or none of these") as refused:
            read_regions(tmp_path / "a.roi")
        assert "\n" not in str(refused.value)
    good = roifile.ImagejRoi.frompoints(np.array(SQUARE).reshape(-1, 2)).tobytes()
    whole = bytearray(roi_archive(tmp_path / "a.zip", {"a.roi": good}).read_bytes())
    assert len(read_regions(tmp_path / "a.zip")) == 1
    start = whole.index(b"a.roi") + 5
    for i in range(start, start + 40):
        (tmp_path / "a.zip").write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        with pytest.raises(RegionError, match=r"a\.zip: "):
            read_regions(tmp_path / "a.zip")


def test_regions_with_thousands_of_holes():
    """Once a comparison of every vertex with every hole."""
    corner = np.array([[0, 0], [50, 0], [50, 50], [0, 50]], np.float64)
    holes = [corner + np.array([10 + 100 * (i % 50), 10 + 100 * (i // 50)]) for i in range(2500)]
    region = Region("tissue", (corner * 100, *holes))
    assert region.area_px == 5000**2 - 2500 * 2500
    assert region.contains(np.array([[5, 5], [20, 20], [np.nan, 20], [75, 75]])).tolist() == [True, False, False, True]


def test_more_outlines_than_are_compared(tmp_path: Path):
    ring = [[0, 0], [1, 0], [1, 1]]
    content = {"type": "MultiPolygon", "coordinates": [[ring] * 10_001]}
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    with pytest.raises(RegionError, match="10,000 outlines"):
        read_regions(tmp_path / "a.geojson")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n", b"[1, 2]", b'{"type": 5}', b'{"shapes": {"a": 1}}', b"null", b"[" * 900]
)
def test_what_python_says_of_its_values_is_not_told(tmp_path: Path, content: bytes):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RegionError, match="expected polygons as GeoJSON") as refused:
        read_regions(tmp_path / "a.json")
    assert not any(word in str(refused.value) for word in ("Error", "object", "codec", "\n"))


def test_zips_that_lie(tmp_path: Path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", bytes(65 << 20))
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    with pytest.raises(RegionError, match="more than 67,108,864 bytes"):
        read_regions(tmp_path / "a.zip")
