"""Every format written by us, and read back: by `convert_dataset`, and by the tool that it is of. docs/formats.md says
what is asserted here, and is compared with it; `MASKRCNN_WRITE_DOCS=1 pytest` of this file writes it anew."""

import base64
import csv
import io
import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from pycocotools.coco import COCO

from maskrcnn.data.formats.recognise import FORMATS as READERS
from maskrcnn.data.formats.recognise import read_dataset
from maskrcnn.report.export.formats import FACTS, FORMATS, write_formats
from maskrcnn.report.export.picture import FoundPicture
from maskrcnn.structures.rle import decode
from tests.report.export.objects import HEIGHT, NAMES, WIDTH, picture

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
READ_AS = {"via3": "via", "label-image": "label-images", "masks": "object-masks"}
"""Our reader of a format, where it has another name."""
NO_READER = {"cutouts", "mot", "csv"}
"""They are read by other tools only."""
TOOLS = {
    "coco": "pycocotools, supervision",
    "yolo": "supervision",
    "voc": "Pillow; boxes: supervision",
    "labelme": "LabelMe's schema",
    "cvat": "CVAT's schema",
    "label-studio": "label-studio-sdk",
    "via": "VIA's schema",
    "via3": "VIA's schema",
    "geojson": "shapely",
    "imagej": "roifile",
    "label-image": "tifffile",
    "masks": "Pillow",
    "cutouts": "Pillow",
    "mot": "MOT Challenge's format",
    "csv": "csv, shapely",
}
"""What reads it in a test below."""

Masks = list[np.ndarray]


def written(name: str, folder: Path, *, overlapping: bool = False) -> tuple[FoundPicture, Path]:
    """A picture and the folder of its export in the format; the picture's file is where the format expects it."""
    if name == "imagej":
        pytest.importorskip("roifile")
    out = folder / name
    places = {"yolo": out / "images", "voc": out / "JPEGImages", "masks": out / "one" / "images"}
    places["label-image"] = folder / "set" / "images"
    one = picture("one.png", "one", overlapping=overlapping, folder=places.get(name, out))
    write_formats(folder, [name], [one], NAMES)
    if name == "label-image":
        shutil.copytree(out, folder / "set" / "masks")
        out = folder / "set"
    return one, out


def test_yolo_has_what_ultralytics_asks_for(tmp_path: Path):
    # Its `check_det_dataset` wants train and val, both to be there.
    _, out = written("yolo", tmp_path)
    content = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert content == {"train": "images", "val": "images", "names": dict(enumerate(NAMES))}
    assert (out / content["val"] / "one.png").is_file()
    assert (out / "labels" / "one.txt").is_file()
    assert list(read_dataset(out)) == ["train"]  # the same pictures are not judged as others


def truth(one: FoundPicture) -> list[tuple[str, np.ndarray]]:
    return [(found.class_name, decode(found.rle)) for found in one.objects]


def ious(one: FoundPicture, masks: Masks) -> list[float]:
    """Of each object with the mask in its place."""
    expected = [mask for _, mask in truth(one)]
    assert len(masks) == len(expected)
    return [float((a & b).sum() / (a | b).sum()) for a, b in zip(expected, masks, strict=True)]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in NO_READER])
def test_our_reader_gives_back_what_was_written(name: str, tmp_path: Path):
    one, out = written(name, tmp_path, overlapping="overlaps" in FORMATS[name].keeps)
    reader = READ_AS.get(name, name)
    assert reader in READERS
    (table,) = read_dataset(out, None, None if name not in ("voc",) else reader).values()
    assert [p for p in table.problems if p.severity == "error"] == []
    masks = [decode(table.rle(row)) for row in table.rows(0).tolist()]
    assert ious(one, masks) == [1.0] * len(one.objects)
    if "class" in FORMATS[name].keeps:
        assert [table.class_names[label] for label in table.labels.tolist()] == [name for name, _ in truth(one)]


@pytest.mark.parametrize("name", [name for name in FORMATS if "overlaps" not in FORMATS[name].keeps])
def test_what_overlaps_goes_to_the_surer_object_and_is_said(name: str, tmp_path: Path):
    one = picture("one.png", "one", overlapping=True)
    (exported,) = write_formats(tmp_path, [name], [one], NAMES)
    assert exported.lost["pixels that another, surer object has too"] == 100  # 10..20 in both directions


def test_scores_that_a_format_does_not_hold_are_said(tmp_path: Path):
    one = picture("one.png", "one")
    for name, what in FORMATS.items():
        if name == "imagej":
            pytest.importorskip("roifile")
        (exported,) = write_formats(tmp_path, [name], [one], NAMES)
        assert any("scores" in words for words in exported.lost) == ("score" not in what.keeps), name
        assert any("classes" in words for words in exported.lost) == ("class" not in what.keeps), name
        is_bent = any("one ring" in words or "only boxes" in words for words in exported.lost)
        assert is_bent == (not {"holes", "parts"} <= what.keeps), name


def test_coco_as_pycocotools_reads_it(tmp_path: Path):
    one, out = written("coco", tmp_path, overlapping=True)
    coco = COCO(str(out / "annotations.json"))
    annotations: list[Any] = coco.loadAnns(coco.getAnnIds())
    assert ious(one, [coco.annToMask(a) > 0 for a in annotations]) == [1.0] * len(one.objects)
    assert [a["score"] for a in annotations] == [found.score for found in one.objects]
    assert {type(a["segmentation"]) for a in annotations} == {list, dict}  # polygons, and RLE where there are holes
    assert [coco.cats[a["category_id"]]["name"] for a in annotations] == [name for name, _ in truth(one)]


@pytest.mark.extra
def test_coco_as_supervision_reads_it(tmp_path: Path):
    supervision = pytest.importorskip("supervision")
    one, out = written("coco", tmp_path)
    set_ = supervision.DetectionDataset.from_coco(str(out), str(out / "annotations.json"), force_masks=True)
    ((_, _, found),) = list(set_)
    assert len(found) == len(one.objects)
    assert [set_.classes[label] for label in found.class_id] == [name for name, _ in truth(one)]
    # It fills polygons with their border, a pixel more on two sides.
    assert min(ious(one, list(found.mask))) >= 0.1


@pytest.mark.extra
def test_yolo_as_supervision_reads_it(tmp_path: Path):
    supervision = pytest.importorskip("supervision")
    one, out = written("yolo", tmp_path)
    set_ = supervision.DetectionDataset.from_yolo(
        str(out / "images"), str(out / "labels"), str(out / "data.yaml"), force_masks=True
    )
    ((_, _, found),) = list(set_)
    assert len(found) == len(one.objects)
    assert [set_.classes[label] for label in found.class_id] == [name for name, _ in truth(one)]
    for mask, (_, expected) in zip(found.mask, truth(one), strict=True):
        assert (mask & expected).sum() == expected.sum()  # and the border, see above


def test_voc_as_pillow_reads_it(tmp_path: Path):
    one, out = written("voc", tmp_path)
    numbers = np.asarray(Image.open(out / "SegmentationObject" / "one.png"))
    labels = np.asarray(Image.open(out / "SegmentationClass" / "one.png"))
    assert ious(one, [numbers == i for i in range(1, len(one.objects) + 1)]) == [1.0] * len(one.objects)
    for name, mask in truth(one):
        assert set(labels[mask]) == {1 + NAMES.index(name)}


@pytest.mark.extra
def test_voc_boxes_as_supervision_reads_them(tmp_path: Path):
    supervision = pytest.importorskip("supervision")
    one, out = written("voc", tmp_path)
    set_ = supervision.DetectionDataset.from_pascal_voc(str(out / "JPEGImages"), str(out / "Annotations"))
    ((_, _, found),) = list(set_)
    assert np.abs(found.xyxy - [obj.box for obj in one.objects]).max() <= 1  # whole pixels, counted from 1


def test_voc_of_more_objects_than_a_byte_holds(tmp_path: Path):
    from tests.report.export.objects import found, mask

    objects = [found(mask((x, y, x + 1, y + 1))) for y in range(0, 40, 2) for x in range(0, 60, 2)]
    one = FoundPicture("one.png", "one", (HEIGHT, WIDTH), objects)
    picture("one.png", "one", folder=tmp_path / "voc" / "JPEGImages")
    write_formats(tmp_path, ["voc"], [one], NAMES)
    (table,) = read_dataset(tmp_path / "voc").values()
    assert len(table.names) == 600
    assert len(read_dataset(tmp_path / "voc")["all"].names) == 600


def test_labelme_as_its_schema_says(tmp_path: Path):
    one, out = written("labelme", tmp_path, overlapping=True)
    content = json.loads((out / "one.json").read_text())
    assert content.keys() >= {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
    assert {shape["shape_type"] for shape in content["shapes"]} == {"polygon", "mask"}
    for shape in content["shapes"]:
        assert shape.keys() >= {"label", "points", "group_id", "shape_type", "flags"}
        if shape["shape_type"] == "mask":
            (x0, y0), (x1, y1) = shape["points"]
            bitmap = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
            assert bitmap.shape == (y1 - y0 + 1, x1 - x0 + 1)
    assert (
        len({s["group_id"] for s in content["shapes"] if s["group_id"] is not None}) == 2
    )  # of two parts without hole
    assert len(one.objects) == 8


def test_cvat_as_its_schema_says(tmp_path: Path):
    one, out = written("cvat", tmp_path, overlapping=True)
    root = ET.parse(out / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [name.text for name in root.findall("meta/task/labels/label/name")] == list(NAMES)
    (image,) = root.findall("image")
    assert image.attrib == {"id": "0", "name": "one.png", "width": "80", "height": "60"}
    masks = []
    for shape in image:
        whole = np.zeros((HEIGHT, WIDTH), bool)
        if shape.tag == "mask":
            left, top, width, height = (int(shape.get(key, "")) for key in ("left", "top", "width", "height"))
            runs = [int(text) for text in shape.get("rle", "").split(",")]
            bitmap = np.concatenate([np.full(run, i % 2 == 1) for i, run in enumerate(runs)])
            whole[top : top + height, left : left + width] = bitmap.reshape(height, width)
            masks.append(whole)
        else:
            assert shape.tag == "polygon"
            masks.append(None)
        assert {"label", "source", "occluded", "z_order"} <= shape.attrib.keys()
    expected = [mask for _, mask in truth(one)]
    assert all(a is None or np.array_equal(a, b) for a, b in zip(masks, expected, strict=True))
    assert sum(a is not None for a in masks) == 4  # two holes, two parts, parts at a corner, part with hole


@pytest.mark.extra
def test_the_brush_of_label_studio_as_its_converter_reads_it(tmp_path: Path):
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    one, out = written("label-studio", tmp_path)
    (task,) = json.loads((out / "tasks.json").read_text())
    regions = task["predictions"][0]["result"]
    assert len(regions) == len(one.objects)
    num = 0
    for region, (name, mask) in zip(regions, truth(one), strict=True):
        assert region["value"][region["type"]] == [name]
        if region["type"] == "brushlabels":
            num += 1
            values = brush.decode_rle(region["value"]["rle"]).reshape(HEIGHT, WIDTH, 4)
            assert np.array_equal(values[..., 3] > 0, mask)
    assert num == 4


@pytest.mark.parametrize("name", ["via", "via3"])
def test_via_as_its_schema_says(name: str, tmp_path: Path):
    one, out = written(name, tmp_path)
    content = json.loads((out / f"{name}.json").read_text())
    if name == "via":
        (entry,) = content.values()
        assert [r["region_attributes"]["class"] for r in entry["regions"]] == [n for n, _ in truth(one)]
        assert {r["shape_attributes"]["name"] for r in entry["regions"]} == {"polygon"}
        return
    assert content.keys() == {"project", "config", "attribute", "file", "metadata", "view"}
    assert [r["xy"][0] for r in content["metadata"].values()] == [7] * len(one.objects)
    options = content["attribute"]["1"]["options"]
    assert [options[r["av"]["1"]] for r in content["metadata"].values()] == [n for n, _ in truth(one)]
    assert content["project"]["vid_list"] == list(content["view"])


def pixels_of(shape: Any) -> np.ndarray:
    """Those of which the centre lies in a geometry of shapely."""
    shapely = pytest.importorskip("shapely")
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return shapely.contains_xy(shape, x, y)


@pytest.mark.extra
def test_geojson_as_shapely_reads_it(tmp_path: Path):
    geometry = pytest.importorskip("shapely.geometry")
    one, out = written("geojson", tmp_path, overlapping=True)
    features = json.loads((out / "one.geojson").read_text())["features"]
    shapes = [geometry.shape(feature["geometry"]) for feature in features]
    assert all(shape.is_valid for shape in shapes)
    assert [shape.area for shape in shapes] == [found.area for found in one.objects]
    assert ious(one, [pixels_of(shape) for shape in shapes]) == [1.0] * len(one.objects)
    properties = features[0]["properties"]
    assert properties["objectType"] == "annotation"
    assert properties["classification"]["name"] == "cat"
    assert len({feature["id"] for feature in features}) == len(features)


@pytest.mark.extra
def test_imagej_as_roifile_reads_it(tmp_path: Path):
    roifile = pytest.importorskip("roifile")
    one, out = written("imagej", tmp_path, overlapping=True)
    rois = roifile.roiread(str(out / "one_RoiSet.zip"))
    assert [roi.name for roi in rois] == [f"{i:04}-{name}" for i, (name, _) in enumerate(truth(one), start=1)]
    for roi, found in zip(rois, one.objects, strict=True):
        rings = roi.coordinates(multi=True) if roi.composite else [roi.coordinates()]
        expected = [ring for part in found.outline for ring in (part["exterior"], *part["holes"])]
        assert len(rings) == len(expected)
        for ring, other in zip(rings, expected, strict=True):
            assert np.array_equal(np.asarray(ring)[: len(other)], other)


def test_label_images_as_tifffile_reads_them(tmp_path: Path):
    one, out = written("label-image", tmp_path)
    path = out / "masks" / "one_labels.tif"
    numbers = tifffile.imread(path)
    assert numbers.dtype == np.uint16
    assert ious(one, [numbers == i for i in range(1, len(one.objects) + 1)]) == [1.0] * len(one.objects)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
    with (out / "masks" / "one_labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [name for name, _ in truth(one)]


def test_masks_and_cutouts_as_pillow_reads_them(tmp_path: Path):
    one, out = written("masks", tmp_path, overlapping=True)
    files = sorted((out / "one" / "masks").iterdir())
    assert ious(one, [np.asarray(Image.open(file)) for file in files]) == [1.0] * len(one.objects)
    assert one.pixels is not None
    one, out = written("cutouts", tmp_path, overlapping=True)
    image = one.pixels() if one.pixels is not None else np.zeros(0)
    for file, (_, mask) in zip(sorted((out / "one").iterdir()), truth(one), strict=True):
        rgba = np.asarray(Image.open(file))
        x0, y0 = (int(part[1:]) for part in file.stem.split("_")[-2:])
        whole = np.zeros((HEIGHT, WIDTH), bool)
        whole[y0 : y0 + rgba.shape[0], x0 : x0 + rgba.shape[1]] = rgba[..., 3] == 255
        assert np.array_equal(whole, mask)
        assert np.array_equal(rgba[rgba[..., 3] > 0, :3], image[mask])


def test_mot_as_it_is_documented(tmp_path: Path):
    one, out = written("mot", tmp_path)
    lines = [line.split(",") for line in (out / "sequence" / "gt" / "gt.txt").read_text().splitlines()]
    for line, found in zip(lines, one.objects, strict=True):
        frame, track, left, top, width, height, score, label, _ = map(float, line)
        assert (frame, track) == (1, -1)
        assert (left - 1, top - 1, left - 1 + width, top - 1 + height) == found.box
        assert score == pytest.approx(found.score)
        assert NAMES[int(label) - 1] == found.class_name
    assert (out / "sequence" / "gt" / "labels.txt").read_text().splitlines() == list(NAMES)


@pytest.mark.extra
def test_csv_as_shapely_reads_it(tmp_path: Path):
    wkt = pytest.importorskip("shapely.wkt")
    one, out = written("csv", tmp_path, overlapping=True)
    with (out / "objects.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert ious(one, [pixels_of(wkt.loads(row["outline"])) for row in rows]) == [1.0] * len(one.objects)
    assert [float(row["score"]) for row in rows] == pytest.approx([found.score for found in one.objects])
    assert [int(row["area_px"]) for row in rows] == [found.area for found in one.objects]


def table() -> str:
    """The matrix in Markdown."""
    lines = ["| `--export`, `--to` | files | " + " | ".join(FACTS) + " | read by us as | read in a test by |"]
    lines.append("|---" * (4 + len(FACTS)) + "|")
    for name, what in FORMATS.items():
        facts = " | ".join("yes" if fact in what.keeps else "-" for fact in FACTS)
        reader = "-" if name in NO_READER else f"`{READ_AS.get(name, name)}`"
        files = what.files.replace("<", "\\<")
        lines.append(f"| `{name}` | {files} | {facts} | {reader} | {TOOLS[name]} |")
    return "\n".join(lines)


def test_the_page_has_this_table():
    assert TOOLS.keys() == FORMATS.keys()
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- table: begin -->\n", "\n<!-- table: end -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    made = before + begin + table() + end + after
    if os.environ.get("MASKRCNN_WRITE_DOCS"):
        PAGE.write_text(made, encoding="utf-8")
    assert text == made, (
        "docs/formats.md is stale: MASKRCNN_WRITE_DOCS=1 python -m pytest tests/report/export/test_matrix.py"
    )
