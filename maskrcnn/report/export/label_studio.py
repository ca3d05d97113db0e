"""Label Studio: one JSON of tasks with pre-annotations, and the labelling interface that shows them."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from maskrcnn.report.export.folder import ExportFolder, OpenList
from maskrcnn.report.export.picture import FoundObject, FoundPicture
from maskrcnn.structures.rle import decode
from maskrcnn.untrusted.names import printable, utf8

KEEPS = {"class", "score", "holes", "parts", "overlaps"}
_SPACE = uuid.UUID("0b7ed8d0-0d7f-5b4b-9f63-7f9d1a1a4a52")
_SIZE_BITS = (3, 6, 10, 16)
"""Of the four lengths that a run may be written with."""


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture: polygons in percent of its sides, a brush where there are holes or several parts.

    The picture is named as its file; Label Studio needs the address that it serves it under in its place.
    """
    with folder.text("tasks.json") as file:
        file.write("[")
        tasks = OpenList(file)

        def add(picture: FoundPicture) -> None:
            regions = [_region(found, picture, number) for number, found in enumerate(picture.objects) if found.outline]
            folder.lost["objects without a pixel"] += len(picture.objects) - len(regions)
            scores = [found.score for found in picture.objects if found.score is not None]
            prediction: dict[str, Any] = {"model_version": "maskrcnn", "result": regions}
            if scores:
                prediction["score"] = sum(scores) / len(scores)
            tasks.add({"data": {"image": utf8(picture.file_name)}, "predictions": [prediction]})

        yield add
        file.write("]\n")
    with folder.text("label_config.xml") as file:
        labels = "".join(f"    <Label value={quoteattr(printable(name))}/>\n" for name in folder.class_names)
        file.write(
            '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
            f'  <PolygonLabels name="polygon" toName="image">\n{labels}  </PolygonLabels>\n'
            f'  <BrushLabels name="brush" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
        )


def _region(found: FoundObject, picture: FoundPicture, number: int) -> dict[str, Any]:
    height, width = picture.size
    about: dict[str, Any] = {
        "id": uuid.uuid5(_SPACE, utf8(f"{picture.file_name} {number}")).hex[:10],
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    if found.score is not None:
        about["score"] = found.score
    label = utf8(found.class_name)
    if found.is_one_ring:
        points = [[100 * x / width, 100 * y / height] for x, y in found.outline[0]["exterior"].tolist()]
        value = {"points": points, "closed": True, "polygonlabels": [label]}
        return about | {"from_name": "polygon", "type": "polygonlabels", "value": value}
    value = {"format": "rle", "rle": brush_runs(decode(found.rle)), "brushlabels": [label]}
    return about | {"from_name": "brush", "type": "brushlabels", "value": value}


def brush_runs(mask: np.ndarray) -> list[int]:
    """A mask (H, W) as the bytes of Label Studio's brush: RGBA, of which all four are 255 at a pixel that is set.

    They begin with the number of values (32 bits), their width - 1 (5 bits) and four lengths of counts - 1 (4 bits
    each); then come runs: a bit that says whether one value follows or each of its own, two that choose the length, the
    count - 1, and the value.
    """
    flat = mask.ravel().view(np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1)) if flat.size else np.zeros(0, int)
    lengths = 4 * np.diff(np.append(starts, flat.size))
    bits = [f"{4 * flat.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZE_BITS)]
    for value, length in zip(flat[starts].tolist(), lengths.tolist(), strict=True):
        while length:
            num = min(length, 1 << _SIZE_BITS[-1])
            place = next(i for i, size in enumerate(_SIZE_BITS) if num <= 1 << size)
            bits.append(f"1{place:02b}{num - 1:0{_SIZE_BITS[place]}b}{255 * value:08b}")
            length -= num
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return np.packbits(np.frombuffer(text.encode("ascii"), np.uint8) - ord("0")).tolist()
