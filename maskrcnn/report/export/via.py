"""VGG Image Annotator: annotations of version 2, and a project of version 3."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.outlines import JOINED, flat, ring_of
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.report.written import json_text
from maskrcnn.untrusted.names import utf8

KEEPS = {"class", "score", "overlaps"}
POLYGON = 7
"""In version 3 the first number of a region says what it is."""


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture into via.json, which VIA 2 imports as annotations (JSON)."""
    with folder.text("via.json") as file:
        file.write("{")
        num = 0

        def add(picture: FoundPicture) -> None:
            nonlocal num
            regions = [
                {
                    "shape_attributes": {
                        "name": "polygon",
                        "all_points_x": flat(ring[:, 0]),
                        "all_points_y": flat(ring[:, 1]),
                    },
                    "region_attributes": _attributes(found),
                }
                for found, ring in _rings(picture, folder)
            ]
            name = utf8(picture.file_name)
            entry = {"filename": name, "size": -1, "regions": regions, "file_attributes": {}}
            file.write(f"{',' * bool(num)}\n{json_text(f'{name}-1')}:{json_text(entry)}")
            num += 1

        yield add
        file.write("}")


@contextmanager
def opened_3(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture into via3.json, a project that VIA 3 opens."""
    files: dict[str, Any] = {}
    views: dict[str, Any] = {}
    options = {str(i): utf8(name) for i, name in enumerate(folder.class_names)}
    option_of = {name: str(i) for i, name in enumerate(folder.class_names)}
    with folder.text("via3.json") as file:
        file.write('{"metadata":{')
        num = 0

        def add(picture: FoundPicture) -> None:
            nonlocal num
            fid = str(len(files) + 1)
            name = utf8(picture.file_name)
            files[fid] = {"fid": fid, "fname": name, "type": 2, "loc": 1, "src": name}
            views[fid] = {"fid_list": [fid]}
            for found, ring in _rings(picture, folder):
                num += 1
                av = {"1": option_of[found.class_name]} | ({} if found.score is None else {"2": f"{found.score:.4f}"})
                region = {"vid": fid, "flg": 0, "z": [], "xy": [POLYGON, *flat(ring)], "av": av}
                file.write(f"{',' * (num > 1)}\n{json_text(str(num))}:{json_text(region)}")

        yield add
        anchor = {"anchor_id": "FILE1_Z0_XY1", "desc": "", "default_option_id": ""}
        attributes = {
            "1": {"aname": "class", "type": 4, "options": options, **anchor},
            "2": {"aname": "score", "type": 1, "options": {}, **anchor},
        }
        project = {
            "pid": "__VIA_PROJECT_ID__",
            "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
            "pname": "maskrcnn",
            "creator": "maskrcnn",
            "data_format_version": "3.1.2",
            "vid_list": list(views),
        }
        config = {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {}}
        rest = {"project": project, "config": config, "attribute": attributes, "file": files, "view": views}
        file.write("\n}")
        for key, value in rest.items():
            file.write(f",\n{json_text(key)}:{json_text(value)}")
        file.write("}")


def _rings(picture: FoundPicture, folder: ExportFolder) -> Iterator[tuple[FoundObject, np.ndarray]]:
    for found in picture.objects:
        ring = ring_of(found)
        folder.lost[JOINED] += not found.is_one_ring
        yield found, ring


def _attributes(found: FoundObject) -> dict[str, str]:
    score = {} if found.score is None else {"score": f"{found.score:.4f}"}
    return {"class": utf8(found.class_name), **score}
