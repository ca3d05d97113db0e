"""ImageJ and Fiji: <stem>_RoiSet.zip for the ROI manager; what has holes or several parts is one composite ROI."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from maskrcnn.optional import needed
from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.untrusted.names import printable

KEEPS = {"class", "score", "holes", "parts", "overlaps"}
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
"""Of a path, as Java counts them."""
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that the same objects make the same file."""


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture.

    Raises:
        MissingPackageError: roifile is not installed.
    """
    roifile = needed("roifile", "imagej", "imagej")

    def add(picture: FoundPicture) -> None:
        with (
            folder.file(f"{picture.stem}_RoiSet.zip") as path,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        ):
            for number, found in picture.numbered:
                name = f"{number:04}-{printable(found.class_name).replace('/', '_')}"
                roi = _roi(roifile, found, name)
                file.writestr(zipfile.ZipInfo(f"{name}.roi", _TIME), roi.tobytes(), zipfile.ZIP_DEFLATED)

    yield add


def _roi(roifile: Any, found: FoundObject, name: str) -> Any:
    props = f"class: {printable(found.class_name)}\n" + ("" if found.score is None else f"score: {found.score:.6g}\n")
    options = roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    if found.is_one_ring:
        roi = roifile.ImagejRoi.frompoints(found.outline[0]["exterior"].astype(np.float32), name=name)
        roi.roitype = roifile.ROI_TYPE.POLYGON
        roi.options |= options
        roi.props = props
        return roi
    rings = [ring for part in found.outline for ring in (part["exterior"], *part["holes"])]
    path: list[float] = []
    for ring in rings:
        for i, (x, y) in enumerate(ring.tolist()):
            path += [_LINE if i else _MOVE, x, y]
        path.append(_CLOSE)
    every = np.concatenate(rings)
    (left, top), (right, bottom) = np.floor(every.min(axis=0)).astype(int), np.ceil(every.max(axis=0)).astype(int)
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        options=options,
        name=name,
        props=props,
        left=int(left),
        top=int(top),
        right=int(right),
        bottom=int(bottom),
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )
