"""A small data set in each of the annotation formats, as their tools write them."""

import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import roifile
import tifffile
from PIL import Image

from maskrcnn.report.export.label_studio import brush_runs

HEIGHT, WIDTH = 30, 40
PICTURES = (1, 2, 3, 4)
SQUARE = [5.0, 5.0, 20.0, 5.0, 20.0, 20.0, 5.0, 20.0]
Files = dict[str, Any]
"""By path: a tree for JSON, bytes for all else."""


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def photo(number: int) -> bytes:
    """PNG of noise, another for each number."""
    return _png(np.random.RandomState(number).randint(0, 255, (HEIGHT, WIDTH, 3), np.uint8))


def _mask(value: int = 255) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:20, 5:20] = value
    return mask


def _coco() -> Files:
    size = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": i, "file_name": f"{i}.png", **size} for i in PICTURES]
    common = {"category_id": 1, "bbox": [5, 5, 15, 15], "area": 225, "iscrowd": 0}
    runs = {"size": [HEIGHT, WIDTH], "counts": [155, 15, HEIGHT * WIDTH - 170]}
    annotations = [
        {"id": 1, "image_id": 1, "segmentation": [SQUARE], **common},
        {"id": 2, "image_id": 2, "segmentation": runs, **common, "iscrowd": 1},
        {"id": 3, "image_id": 2, "segmentation": [SQUARE, SQUARE[:6]], **common},
        {"id": 4, "image_id": 3, "segmentation": [SQUARE], **common},
        {"id": 5, "image_id": 4, "segmentation": [SQUARE], **common},
    ]
    categories = [{"id": 1, "name": "cell", "supercategory": ""}]
    return {"set.json": {"images": images, "annotations": annotations, "categories": categories}}


def _via() -> Files:
    shapes = [
        {"name": "polygon", "all_points_x": SQUARE[::2], "all_points_y": SQUARE[1::2]},
        {"name": "circle", "cx": 12, "cy": 12, "r": 6},
        {"name": "ellipse", "cx": 12, "cy": 12, "rx": 6, "ry": 4, "theta": 0.5},
        {"name": "rect", "x": 3, "y": 3, "width": 9, "height": 9},
    ]
    regions = [{"shape_attributes": shape, "region_attributes": {"class": "cell"}} for shape in shapes]
    record = {"size": 1, "regions": regions, "file_attributes": {}}
    return {"via.json": {f"{i}.png1": {"filename": f"{i}.png", **record} for i in PICTURES}}


def _labelme() -> Files:
    points = [SQUARE[i : i + 2] for i in range(0, 8, 2)]
    shapes = [
        {"label": "cell", "points": points, "shape_type": "polygon", "group_id": None, "flags": {}},
        {"label": "cell", "points": points[:2], "shape_type": "circle", "group_id": 1, "flags": {}},
        {"label": "cell", "points": points[::2], "shape_type": "rectangle", "group_id": 1, "flags": {}},
    ]
    record = {"version": "5.0", "flags": {}, "shapes": shapes, "imageData": None}
    record |= {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return {f"{i}.json": record | {"imagePath": f"{i}.png"} for i in PICTURES}


def _yolo() -> Files:
    line = "0 " + " ".join(str(round(value / 40, 3)) for value in SQUARE) + "\n"
    names = b"path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cell\n  1: other\n"
    places = {i: f"{'val' if i == PICTURES[-1] else 'train'}/{i}" for i in PICTURES}
    labels = {f"labels/{place}.txt": (line * 2).encode() for place in places.values()}
    return {"data.yaml": names, **labels, **{f"images/{place}.png": photo(i) for i, place in places.items()}}


def _voc() -> Files:
    files: Files = {"labelmap.txt": b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell:128,0,0::\n"}
    files["ImageSets/Segmentation/train.txt"] = b"1\n2\n3\n4\n"
    color = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    color[5:20, 5:20] = (128, 0, 0)
    for i in PICTURES:
        files |= {f"JPEGImages/{i}.png": photo(i), f"SegmentationObject/{i}.png": _png(color)}
        files[f"SegmentationClass/{i}.png"] = _png(color)
    return files


def _label_images() -> Files:
    mask = _png(_mask(1))
    return {f"{part}/{i}.png": photo(i) if part == "images" else mask for part in ("images", "masks") for i in PICTURES}


def _object_masks() -> Files:
    mask = _png(_mask())
    photos = {f"p{i}/images/a{i}.png": photo(i) for i in PICTURES}
    return photos | {f"p{i}/masks/{letter}.png": mask for i in PICTURES for letter in "ab"}


def _cvat() -> Files:
    points = ";".join(f"{SQUARE[i]},{SQUARE[i + 1]}" for i in range(0, 8, 2))
    shapes = (
        f'<polygon label="cell" source="manual" occluded="0" points="{points}" z_order="0"/>'
        f'<polygon label="cell" points="{points}"><attribute name="score">0.5</attribute></polygon>'
        '<box label="other" xtl="3" ytl="3" xbr="12" ybr="14" rotation="30"/>'
        '<ellipse label="cell" cx="12" cy="12" rx="6" ry="4"/>'
        '<mask label="cell" rle="1, 2, 1, 4" left="10" top="9" width="4" height="2"/>'
    )
    images = "".join(
        f'<image id="{i}" name="{i}.png" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>' for i in PICTURES
    )
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{images}</annotations>'
    return {"annotations.xml": text.encode()}


def _label_studio() -> Files:
    points = [[SQUARE[i] * 100 / WIDTH, SQUARE[i + 1] * 100 / HEIGHT] for i in range(0, 8, 2)]
    values = [
        ("polygonlabels", {"points": points, "closed": True}),
        ("rectanglelabels", {"x": 12.5, "y": 10, "width": 25, "height": 25, "rotation": 30}),
        ("ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 12, "rotation": 0}),
        ("brushlabels", {"format": "rle", "rle": brush_runs(_mask() > 0)}),
    ]
    result = [
        {"id": str(k), "type": kind, "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        | {"value": value | {kind: ["cell"]}}
        for k, (kind, value) in enumerate(values)
    ]
    made = {"result": result, "was_cancelled": False}
    addresses = {
        i: f"/data/upload/3/0a1b2c3d-{i}.png" if i % 2 else f"/data/local-files/?d=x/{i}.png" for i in PICTURES
    }
    return {"tasks.json": [{"id": i, "data": {"image": addresses[i]}, "annotations": [made]} for i in PICTURES]}


def _geojson() -> Files:
    ring = [SQUARE[i : i + 2] for i in (0, 2, 4, 6, 0)]
    hole = [[8, 8], [12, 8], [12, 12], [8, 12], [8, 8]]
    named = {"objectType": "annotation", "classification": {"name": "cell", "color": [1, 2, 3]}}
    geometries = [
        {"type": "Polygon", "coordinates": [ring, hole]},
        {"type": "MultiPolygon", "coordinates": [[ring], [[[25, 5], [35, 5], [35, 15], [25, 5]]]]},
    ]
    features = [{"type": "Feature", "geometry": one, "properties": named} for one in geometries]
    files: Files = {f"{i}.geojson": {"type": "FeatureCollection", "features": features} for i in PICTURES[:-1]}
    on_map = [[5e5 + 2 * x, 58e5 - 2 * y] for x, y in ring]
    of_map = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [on_map]}, "properties": {}}]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    files["map.geojson"] = {"type": "FeatureCollection", "crs": crs, "features": of_map}
    return files | {"map.tif": _geotiff()} | {f"{i}.png": photo(i) for i in PICTURES[:-1]}


def _geotiff() -> bytes:
    keys = (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        (33550, "d", 3, (2.0, 2.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 58e5, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), photometric="rgb", extratags=tags)
    return buffer.getvalue()


def rois() -> dict[str, bytes]:
    """ROIs of ImageJ by file name: a polygon of whole pixels and of parts, a rectangle, an oval, a composite."""
    points = np.array(SQUARE).reshape(-1, 2)
    kinds = roifile.ROI_TYPE
    path = [value for k, point in enumerate(points.tolist()) for value in (float(k > 0), *point)] + [4.0]
    edges: dict[str, Any] = {"left": 5, "top": 5, "right": 20, "bottom": 20}
    made = {
        "square": roifile.ImagejRoi.frompoints(points.astype(np.int32)),
        "fine": roifile.ImagejRoi.frompoints((points + 0.5).astype(np.float32), name="fine"),
        "rect": roifile.ImagejRoi(roitype=kinds.RECT, **edges),
        "oval": roifile.ImagejRoi(roitype=kinds.OVAL, props="class: cell\n", **edges),
        "composite": roifile.ImagejRoi(
            roitype=kinds.RECT, shape_roi_size=len(path), multi_coordinates=np.array(path, np.float32), **edges
        ),
    }
    return {f"{name}.roi": roi.tobytes() for name, roi in made.items()}


def zipped(members: dict[str, bytes]) -> bytes:
    """An archive, the same for the same members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _imagej() -> Files:
    photos = {f"{i}.png": photo(i) for i in PICTURES}
    return photos | {f"{i}_RoiSet.zip": zipped(rois()) for i in PICTURES[:-1]} | {"4.roi": rois()["fine.roi"]}


def _via_3() -> Files:
    shapes = [[7, *SQUARE], [2, 3, 3, 9, 9], [3, 12, 12, 6], [4, 12, 12, 6, 4], [6, *SQUARE, *SQUARE[:2]]]
    attribute = {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": {"0": "cell", "1": "other"}}
    regions = {
        f"{i}_{k}": {"vid": str(i), "flg": 0, "z": [], "xy": xy, "av": {"1": str(k % 2)}}
        for i in PICTURES
        for k, xy in enumerate(shapes)
    }
    project = {
        "project": {"pid": "x", "vid_list": [str(i) for i in PICTURES]},
        "config": {"ui": {}},
        "attribute": {"1": attribute},
        "file": {
            str(i): {"fid": str(i), "fname": f"{i}.png", "type": 2, "loc": 1, "src": f"{i}.png"} for i in PICTURES
        },
        "metadata": regions,
        "view": {str(i): {"fid_list": [str(i)]} for i in PICTURES},
    }
    return {"project.json": project}


def _coco_panoptic() -> Files:
    ids = np.full((HEIGHT, WIDTH), 70_000, np.int32)
    ids[5:20, 5:20] = 1001
    ids[:, -4:] = 0
    colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
    segments = [
        {"id": 70_000, "category_id": 20, "area": 1, "bbox": [0, 0, WIDTH, HEIGHT], "iscrowd": 0},
        {"id": 1001, "category_id": 1, "area": 225, "bbox": [5, 5, 15, 15], "iscrowd": 0},
    ]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in PICTURES],
        "annotations": [{"image_id": i, "file_name": f"{i}.png", "segments_info": segments} for i in PICTURES],
        "categories": [{"id": 1, "name": "cell", "isthing": 1}, {"id": 20, "name": "grass", "isthing": 0}],
    }
    photos = {f"images/{i}.png": photo(i) for i in PICTURES}
    return {"panoptic.json": content} | {f"panoptic/{i}.png": _png(colors) for i in PICTURES} | photos


SETS: dict[str, Callable[[], Files]] = {
    "coco": _coco,
    "via": _via,
    "labelme": _labelme,
    "yolo": _yolo,
    "voc": _voc,
    "label-images": _label_images,
    "object-masks": _object_masks,
    "cvat": _cvat,
    "label-studio": _label_studio,
    "geojson": _geojson,
    "imagej": _imagej,
    "via-3": _via_3,
    "coco-panoptic": _coco_panoptic,
}


def write_set(folder: Path, files: Files) -> None:
    """The files of a set in `folder`, and beside annotations without images those."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content).encode("utf-8", "surrogatepass")
        (folder / path).write_bytes(data)
    if not any(path.endswith(".png") for path in files):
        for i in PICTURES:
            (folder / f"{i}.png").write_bytes(photo(i))
